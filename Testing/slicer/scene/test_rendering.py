"""What the slice and 3-D views really show, drawn off-screen by Slicer's displayable managers."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.scene import heatmap, slice_layers
from MultiTaskSegLib.scene.segmentation import add_segmentation, mark_as_doubtful
from MultiTaskSegLib.scene.surface.surfaces import show_3d
from Testing.slicer import scene_samples as samples

SIZE = (200, 200)
SHAPE = (20, 20, 20)


@pytest.fixture(scope="module")
def gl():
    from Testing.slicer.views import can_render

    if not can_render():
        pytest.skip("off-screen OpenGL does not work here: install libosmesa6, or libegl1 and libgl1-mesa-dri")


@pytest.fixture
def view(gl, session):
    from Testing.slicer.views import SliceView

    return SliceView(session, "Red", "Axial", SIZE)


def grey_volume():
    """20 mm cube centred on the origin, all voxels at mid grey, patient left along +i (index = LPS)."""
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
    matrix[:3, 3] = [9.5, 9.5, -9.5]
    node = slicer.util.addVolumeFromArray(np.full(SHAPE, 50, np.int16), ijkToRAS=matrix, name="Grey")
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevelMinMax(0, 100)
    return node


def corner_labels() -> np.ndarray:
    """A cube in the corner at the right, anterior side of the patient: low i, low j in LPS order."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:15, 2:8, 2:8] = 1
    return labels


def mean_colour(image: np.ndarray, row: float, column: float) -> np.ndarray:
    """Mean colour of a small patch at a place given as shares of height and width."""
    y, x = int(row * image.shape[0]), int(column * image.shape[1])
    return image[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(axis=0)


def close_to(image: np.ndarray, colour, tolerance: float = 40.0) -> np.ndarray:
    return np.abs(image.astype(float) - np.asarray(colour)).max(axis=2) < tolerance


def test_the_segment_lies_where_the_patient_has_it_and_the_rest_stays_grey(view):
    volume = grey_volume()
    add_segmentation(volume, corner_labels(), samples.LEGEND, "Result")
    slicer.util.setSliceViewerLayers(background=volume)
    view.fit(np.zeros(3))
    image = view.image()
    # Axial views show the patient's right at the left of the picture, anterior at the top.
    red, green, blue = mean_colour(image, 0.25, 0.25)
    assert red > green + 10
    assert red > blue + 10
    assert np.ptp(mean_colour(image, 0.75, 0.75)) < 2
    assert close_to(image, samples.LEGEND[0]["colour"]).sum() > 50  # the outline, in the full colour


def test_a_result_out_of_distribution_is_drawn_as_outlines_only(view):
    volume = grey_volume()
    mark_as_doubtful(add_segmentation(volume, corner_labels(), samples.LEGEND, "Result"))
    slicer.util.setSliceViewerLayers(background=volume)
    view.fit(np.zeros(3))
    image = view.image()
    assert np.ptp(mean_colour(image, 0.25, 0.25)) < 2  # grey inside
    assert close_to(image, samples.LEGEND[0]["colour"]).sum() > 50


def test_the_heatmap_covers_only_what_is_uncertain_and_brings_its_legend(view):
    volume = grey_volume()
    uncertainty = np.where(corner_labels() == 1, 1.0, 0.0).astype(np.float32)
    overlay = heatmap.add_heatmap(volume, uncertainty, "Uncertainty")
    slice_layers.show_heatmap(volume, overlay, 1.0)
    view.fit(np.zeros(3))
    image = view.image()
    np.testing.assert_allclose(mean_colour(image, 0.25, 0.25), heatmap.colour_values()[-1] * 255, atol=3)
    np.testing.assert_allclose(mean_colour(image, 0.75, 0.25), [127.5] * 3, atol=3)
    legend = image[:, int(0.8 * SIZE[0]) :]
    for colour in heatmap.colour_values()[[64, 128, 192]] * 255:
        assert close_to(legend, colour, 12.0).any()


def test_hiding_the_heatmap_hides_its_legend(view):
    volume = grey_volume()
    overlay = heatmap.add_heatmap(volume, np.ones(SHAPE, np.float32), "Uncertainty")
    slice_layers.show_heatmap(volume, overlay, 1.0)
    slice_layers.show_heatmap(volume, overlay, 0.0)
    view.fit(np.zeros(3))
    assert np.ptp(view.image().astype(int), axis=2).max() <= 3  # nothing coloured is left


def test_the_surfaces_appear_in_the_3d_view_in_the_colours_of_the_segments(gl, session):
    from Testing.slicer.views import ThreeDView

    three_d = ThreeDView(session, SIZE)
    volume = grey_volume()
    segmentation = add_segmentation(volume, corner_labels(), samples.LEGEND[:1], "Result")
    show_3d(segmentation)
    three_d.fit()
    image = three_d.image().astype(float)
    reddish = (image[..., 0] > 1.5 * image[..., 1]) & (image[..., 0] > 1.5 * image[..., 2])
    assert reddish.mean() > 0.05
