"""Regions: which voxels are in them, whatever the image's grid, and how they are given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.image.volume import LPS_TO_RAS, Volume
from MultiTaskSegLib.runtime.selection.region import Region
from MultiTaskSegLib.runtime.selection.region_file import region_from

TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


def oblique(shape: tuple[int, int, int] = (9, 8, 7)) -> Volume:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[0.0, -1.5, 0.2], [2.0, 0.0, 0.0], [0.1, 0.0, 2.5]])
    matrix[:3, 3] = (-4.0, 5.0, 6.0)
    return Volume(np.ones(shape, np.float32), LPS_TO_RAS @ matrix, "oblique")


def in_box_one_by_one(region: Region, volume: Volume) -> np.ndarray:
    """Every voxel's centre brought into the box's own axes, one after the other."""
    found = np.zeros(volume.shape, bool)
    for z, y, x in np.ndindex(*volume.shape):
        ras = (volume.ijk_to_ras @ (x, y, z, 1))[:3]
        own = np.asarray(region.axes_ras) @ (ras - np.asarray(region.centre_ras_mm))
        found[z, y, x] = bool((np.abs(own) <= np.asarray(region.size_mm) / 2).all())
    return found


def test_a_turned_box_holds_the_voxels_whose_centres_lie_in_it() -> None:
    axes = tuple(tuple(row) for row in TURN.T)
    volume = oblique()
    centre = (volume.ijk_to_ras @ (3, 4, 4, 1))[:3]
    region = Region(tuple(centre), (7.1, 9.3, 11.7), axes)
    expected = in_box_one_by_one(region, volume)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(region.holds(volume, (0, 0, 0), volume.shape), expected)
    np.testing.assert_array_equal(region.holds(volume, (2, 1, 3), (4, 5, 3)), expected[2:6, 1:6, 3:6])


def test_corners_are_those_of_the_box() -> None:
    volume = Volume(np.ones((4, 4, 4), np.float32), LPS_TO_RAS @ np.diag([2.0, 2.0, 2.0, 1.0]))
    corners = Region.between([0, 4, 2, 6, -2, 2]).corners_ijk(volume)
    np.testing.assert_allclose(corners.min(axis=0), (0, 1, -1))
    np.testing.assert_allclose(corners.max(axis=0), (2, 3, 1))


def test_plain_values_give_the_same_region() -> None:
    region = Region((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), tuple(tuple(row) for row in TURN))
    assert Region.from_dict(json.loads(json.dumps(region.as_dict()))) == region


@pytest.mark.parametrize(
    "plain",
    [
        {"centre_ras_mm": [0, 0, 0]},
        {"centre_ras_mm": [0, 0], "size_mm": [1, 1, 1]},
        {"centre_ras_mm": [0, 0, 0], "size_mm": [1, 0, 1]},
        {"centre_ras_mm": [0, 0, float("nan")], "size_mm": [1, 1, 1]},
        {"centre_ras_mm": [0, 0, 0], "size_mm": [1, 1, 1], "axes_ras": [[1, 0, 0], [0.5, 1, 0], [0, 0, 1]]},
        {"centre_ras_mm": [0, 0, 0], "size_mm": [1, 1, 1], "axes_ras": [[2, 0, 0], [0, 1, 0], [0, 0, 1]]},
    ],
)
def test_what_is_no_box_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Region.from_dict(plain)


def test_six_numbers_and_the_roi_of_the_same_box_are_one_region(tmp_path: Path) -> None:
    numbers = region_from(["-10", "20", "0", "40", "-5", "5"])
    flat = [-1, 0, 0, 0, -1, 0, 0, 0, 1]
    box = {"type": "ROI", "coordinateSystem": "LPS", "center": [-5, -20, 0], "size": [30, 40, 10], "orientation": flat}
    assert region_from([str(saved(tmp_path, box))]) == numbers
    in_ras = {"type": "ROI", "coordinateSystem": "RAS", "center": [5, 20, 0], "size": [30, 40, 10]}
    assert region_from([str(saved(tmp_path, in_ras))]) == numbers


def test_an_roi_that_slicer_saves_turned_has_its_edges_as_columns(tmp_path: Path) -> None:
    # Written by Slicer's own storage node for an ROI turned by 30 degrees about S.
    box = {
        "type": "ROI", "coordinateSystem": "LPS", "center": [0.134, -2.232, 3.0], "size": [10.0, 20.0, 30.0],
        "orientation": [-0.8660254, 0.5, -0.0, -0.5, -0.8660254, -0.0, 0.0, 0.0, 1.0],
    }  # fmt: skip
    region = region_from([str(saved(tmp_path, box))])
    np.testing.assert_allclose(region.axes_ras[0], (0.8660254, 0.5, 0), atol=1e-6)
    np.testing.assert_allclose(region.centre_ras_mm, (-0.134, 2.232, 3.0))


@pytest.mark.parametrize("words", [["1", "2", "3"], ["a", "2", "3", "4", "5", "6"], ["1"] * 7])
def test_other_words_are_no_region(words: list[str]) -> None:
    with pytest.raises(UsageError, match="six numbers"):
        region_from(words)


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"markups": [{"type": "Line"}]}', '{"markups": [{"type": "ROI", "size": [1, 1, 1]}]}',
     '{"markups": [{"type": "ROI", "center": [0, 0, 0], "size": [1, 1, 1], "insideOut": true}]}',
     '{"markups": [{"type": "ROI", "center": [0, 0, 0], "size": [1, 1, 1], "coordinateSystem": "scanner"}]}',
     "[" * 100_000],
    ids=range(7),
)  # fmt: skip
def test_a_file_without_one_box_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "roi.mrk.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"roi\.mrk\.json"):
        region_from([str(path)])


def saved(folder: Path, box: dict[str, object]) -> Path:
    path = folder / "roi.mrk.json"
    path.write_text(json.dumps({"markups": [box]}))
    return path
