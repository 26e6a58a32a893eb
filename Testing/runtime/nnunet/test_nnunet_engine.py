"""nnU-Net's preparation and sliding window against whole-volume references that were written independently."""

from __future__ import annotations

from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from MultiTaskSegLib.runtime.errors import InputError, ModelError
from MultiTaskSegLib.runtime.nnunet.label_slabs import labels_of, score_slices
from MultiTaskSegLib.runtime.nnunet.patch_stream import PatchStream, patch_starts, patch_weights
from MultiTaskSegLib.runtime.nnunet.preparation_plan import Normalisation, PreparationPlan, Resampling
from MultiTaskSegLib.runtime.nnunet.prepared_image import normalised, prepared_image
from MultiTaskSegLib.runtime.nnunet.resampling_grid import nearest_slices, resampled, resampled_shape, slice_axis
from MultiTaskSegLib.runtime.nnunet.structures import Structure, Structures

SPLINE = Resampling("spline", 3)
LINEAR = Resampling("spline", 1)


class Scaled(nn.Module):
    """A network whose scores depend on the place in the patch, so that seams and weights show."""

    def __init__(self, outputs: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.factor = torch.randn(outputs, generator=generator)

    def forward(self, patch: Tensor) -> Tensor:
        summed = patch.sum(1, keepdim=True).cumsum(-1) + patch.mean()
        return summed * self.factor.reshape(1, -1, *(1,) * (patch.ndim - 2))


def whole_scores(voxels: Tensor, networks: list[nn.Module], patch: tuple[int, ...], mirror: tuple[int, ...]) -> Tensor:
    """Scores of the whole volume in half precision: every patch at once, slices of 2-D patches one by one."""
    if len(patch) == 2:
        slices = [whole_scores(voxels[:, z : z + 1], networks, (1, *patch), mirror) for z in range(voxels.shape[1])]
        return torch.cat(slices, 1)
    is_planar = patch[0] == 1
    flips = [axes for count in range(len(mirror) + 1) for axes in combinations(mirror, count)]
    weights = patch_weights(patch[1:] if is_planar else patch).reshape(patch)
    means = []
    for network in networks:
        total, weight = torch.zeros(3, *voxels.shape[1:]).half(), torch.zeros(voxels.shape[1:]).half()
        for corner in product(
            *(patch_starts(size, length) for size, length in zip(voxels.shape[1:], patch, strict=True))
        ):
            place = tuple(slice(first, first + length) for first, length in zip(corner, patch, strict=True))
            everywhere = (slice(None), *place)
            part = voxels[everywhere][None]
            part = part[:, :, 0] if is_planar else part
            scores = [torch.flip(network(torch.flip(part, [a + 2 for a in f])), [a + 2 for a in f]) for f in flips]
            mean = sum(scores[1:], scores[0]) / len(scores)
            total[everywhere] += mean[0].reshape(3, *patch) * weights
            weight[place] += weights
        means.append(total / weight)
    return sum(means[1:], means[0]) / len(means)


@pytest.mark.parametrize("mirror", [(), (0, 1), (1,)])
@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        ((9, 12, 10), (4, 6, 5)),
        ((4, 6, 5), (4, 6, 5)),
        ((21, 7, 6), (4, 6, 5)),
        ((5, 12, 10), (6, 5)),
        ((1, 9, 9), (6, 5)),
    ],
)
def test_slabs_give_the_scores_of_the_whole_volume_to_the_bit(
    shape: tuple[int, ...], patch: tuple[int, ...], mirror: tuple[int, ...]
) -> None:
    voxels = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    networks: list[nn.Module] = [Scaled(3, 1), Scaled(3, 2)]
    slabs = list(PatchStream(networks, 3, patch, mirror).slabs(voxels))
    assert [first for first, _ in slabs] == list(np.cumsum([0, *(s.shape[1] for _, s in slabs[:-1])]))
    found = torch.cat([scores for _, scores in slabs], 1)
    wanted = whole_scores(torch.from_numpy(voxels), networks, patch, mirror)
    assert found.dtype == torch.half
    torch.testing.assert_close(found, wanted, rtol=2e-3, atol=2e-3)


def test_an_image_smaller_than_a_patch_is_seen_in_the_middle_of_zeros() -> None:
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, patch: Tensor) -> Tensor:
            seen.append(patch)
            return patch

    voxels = np.ones((1, 3, 4, 5), np.float32)
    slabs = list(PatchStream([Watching()], 1, (6, 4, 8)).slabs(voxels))
    (patch,) = seen
    assert patch.shape == (1, 1, 6, 4, 8)
    assert patch[0, 0, 1:4, :, 1:6].min() == 1
    assert patch.sum() == voxels.sum()
    assert torch.cat([s for _, s in slabs], 1).shape == (1, 3, 4, 5)
    assert torch.cat([s for _, s in slabs], 1).min() == 1


def test_progress_rises_to_one() -> None:
    told: list[float] = []
    list(PatchStream([Scaled(3, 1)], 3, (4, 6, 5)).slabs(np.ones((1, 9, 12, 10), np.float32), told.append))
    assert told == sorted(told)
    assert told[-1] == 1


@pytest.mark.parametrize(("size", "patch"), [(64, 64), (65, 64), (96, 64), (97, 64), (200, 64), (7, 3), (513, 20)])
def test_patches_cover_an_axis_at_most_half_a_patch_apart(size: int, patch: int) -> None:
    starts = patch_starts(size, patch)
    assert starts[0] == 0
    assert starts[-1] == size - patch
    # Rounding moves a start by half a voxel at most.
    assert all(0 < b - a <= patch / 2 + 1 for a, b in pairwise(starts))


def test_weights_of_a_patch_are_largest_in_its_middle_and_nowhere_zero() -> None:
    weights = patch_weights((8, 40, 6))
    assert weights.dtype == torch.half
    assert weights[4, 20, 3] == weights.max() == 10
    assert weights.min() > 0


def by_coordinates(values: NDArray[np.float64], shape: tuple[int, ...], order: int) -> NDArray[np.float64]:
    """Interpolation at the centres of the wanted voxels, each place worked out by hand."""
    axes = [(np.arange(new) + 0.5) * old / new - 0.5 for new, old in zip(shape, values.shape, strict=True)]
    found: NDArray[np.float64] = ndimage.map_coordinates(
        values, np.meshgrid(*axes, indexing="ij"), order=order, mode="nearest"
    )
    return np.clip(found, values.min(), values.max())


@pytest.mark.parametrize("shape", [(7, 9, 5), (14, 4, 5), (3, 20, 11)])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_a_volume_is_interpolated_at_the_centres_of_its_new_voxels(shape: tuple[int, ...], order: int) -> None:
    values = np.random.default_rng(1).normal(size=(7, 9, 5)).astype(np.float32)
    found = resampled(values, shape, Resampling("spline", order), None)
    np.testing.assert_allclose(found, by_coordinates(values.astype(float), shape, order), atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_of_a_coarse_axis_are_interpolated_in_their_plane_and_repeated_across(axis: int) -> None:
    values = np.random.default_rng(1).normal(size=(6, 8, 7)).astype(np.float32)
    shape = [12, 11, 9]
    found = resampled(values, shape, SPLINE, axis)
    in_plane = [n for number, n in enumerate(shape) if number != axis]
    for number in range(shape[axis]):
        # Twice to less than twice as many: each slice is repeated, the nearest by its centre.
        nearest = int(np.floor((number + 0.5) * values.shape[axis] / shape[axis]))
        plane = by_coordinates(np.take(values, nearest, axis).astype(float), tuple(in_plane), 3)
        np.testing.assert_allclose(np.take(found, number, axis), plane, atol=1e-5)


def test_nearest_slices_are_those_that_scipy_takes() -> None:
    for count, wanted in ((5, 9), (9, 5), (7, 7), (4, 13), (10, 3)):
        places = (np.arange(wanted) + 0.5) * count / wanted - 0.5
        by_scipy = ndimage.map_coordinates(np.arange(count), [places], order=0, mode="nearest")
        assert nearest_slices(count, wanted).tolist() == by_scipy.tolist()


@pytest.mark.parametrize(
    ("spacing_mm", "wanted_mm", "axis"),
    [
        ((5.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0),
        ((1.0, 1.0, 1.0), (1.0, 4.0, 1.0), 1),
        ((3.0, 1.0, 1.0), (3.0, 1.0, 1.0), None),
        ((3.1, 1.0, 1.0), (1.0, 1.0, 1.0), 0),
        ((0.24, 1.25, 1.25), (1.0, 1.0, 1.0), None),
        ((1.0, 1.0, 5.0), (4.0, 1.0, 1.0), 2),
    ],
)
def test_the_coarse_axis_is_that_of_the_present_spacing_then_of_the_wanted_one(
    spacing_mm: tuple[float, ...], wanted_mm: tuple[float, ...], axis: int | None
) -> None:
    assert slice_axis(SPLINE, spacing_mm, wanted_mm) == axis
    assert slice_axis(Resampling("spline", 3, 0, False), spacing_mm, wanted_mm) is None


def test_the_number_of_voxels_is_rounded_to_even_at_halves() -> None:
    assert resampled_shape((5, 7, 10), (1.0, 1.0, 1.0), (2.0, 2.0, 4.0)) == (2, 4, 2)


def whole_slices(scores: NDArray[np.float32], shape: tuple[int, ...], rule: Resampling, axis: int | None) -> Any:
    return np.stack([resampled(part, shape, rule, axis) for part in scores])


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
@pytest.mark.parametrize("shape", [(6, 8, 7), (13, 8, 7), (6, 11, 3), (4, 5, 16), (1, 8, 7)])
@pytest.mark.parametrize("thick", [1, 2, 6])
def test_slices_interpolated_on_the_way_are_those_of_the_whole_volume(
    shape: tuple[int, int, int], axis: int | None, thick: int
) -> None:
    scores = torch.from_numpy(np.random.default_rng(2).normal(size=(3, 6, 8, 7))).half()
    slabs = ((first, scores[:, first : first + thick]) for first in range(0, 6, thick))
    found = torch.stack(list(score_slices(slabs, (6, 8, 7), shape, LINEAR, axis)), 1)
    wanted = whole_slices(scores.float().numpy(), shape, LINEAR, axis)
    # Half precision, as in nnU-Net: the last bit may be another where a score lies between two of its numbers.
    np.testing.assert_allclose(found.numpy(), wanted.astype(np.float16), rtol=1e-3, atol=1e-6)
    assert (found.numpy() == found.half().float().numpy()).all()


def test_slabs_are_taken_only_when_their_slices_are_needed() -> None:
    taken: list[int] = []

    def slabs() -> Any:
        for first in range(40):
            taken.append(first)
            yield first, torch.zeros(2, 1, 4, 4).half()

    stream = score_slices(slabs(), (40, 4, 4), (80, 4, 4), LINEAR, None)
    for number, _ in enumerate(stream):
        # Slice n lies between n / 2 and the next.
        assert taken[-1] <= number / 2 + 1


def test_of_equal_scores_the_first_wins() -> None:
    entries = tuple(Structure(str(value), (value,), value) for value in range(1, 40))
    scores = torch.zeros(40, 50, 50)
    scores[7:] = 1
    assert (labels_of(scores, Structures(entries, False, ("T1",))) == 7).all()


def test_labels_win_and_regions_are_painted_over_each_other_in_their_order() -> None:
    scores = torch.tensor([[1.0, -1.0, 2.0], [0.5, 3.0, 2.0], [-1.0, 4.0, -5.0]])
    entries = tuple(Structure(name, (value,), value) for name, value in (("a", 1), ("b", 2)))
    assert labels_of(scores, Structures(entries, False, ("T1",))).tolist() == [0, 2, 0]
    regions = tuple(Structure(name, (1,), value) for name, value in (("whole", 2), ("core", 1), ("top", 3)))
    assert labels_of(scores, Structures(regions, True, ("T1",))).tolist() == [1, 3, 1]


def plan(**changes: Any) -> PreparationPlan:
    settings: dict[str, Any] = {
        "reader": "as_stored", "transpose": (0, 1, 2), "spacing_mm": (1.0, 1.0, 1.0), "patch": (4, 4, 4),
        "normalisations": (Normalisation("none"),), "images": SPLINE, "scores": LINEAR,
    }  # fmt: skip
    return PreparationPlan(**(settings | changes))


def test_an_image_is_cropped_to_what_is_not_zero_in_any_channel() -> None:
    channels = np.zeros((2, 8, 9, 10), np.float32)
    channels[0, 2:5, 3:7, 1:9] = 7
    channels[1, 6, 4, 4] = -1
    prepared = prepared_image(channels, (1, 1, 1), plan(normalisations=(Normalisation("none"),) * 2))
    assert prepared.box == (slice(2, 7), slice(3, 7), slice(1, 9))
    box = (slice(None), *prepared.box)
    np.testing.assert_array_equal(prepared.voxels, channels[box])
    assert prepared.turned_shape == (8, 9, 10)


def test_axes_are_turned_before_anything_else_and_the_spacing_with_them() -> None:
    channels = np.random.default_rng(0).uniform(1, 2, (1, 4, 6, 8)).astype(np.float32)
    prepared = prepared_image(channels, (3.0, 1.5, 1.0), plan(transpose=(2, 0, 1), spacing_mm=(1.0, 3.0, 1.5)))
    np.testing.assert_array_equal(prepared.voxels[0], channels[0].transpose(2, 0, 1))
    assert prepared.spacing_mm == (1.0, 3.0, 1.5)


def test_slices_keep_their_distance_in_two_dimensions() -> None:
    channels = np.random.default_rng(0).uniform(1, 2, (1, 4, 6, 8)).astype(np.float32)
    prepared = prepared_image(channels, (3.0, 1.0, 1.0), plan(spacing_mm=(0.5, 2.0), patch=(4, 4)))
    assert prepared.voxels.shape == (1, 4, 12, 4)
    assert prepared.network_spacing_mm == (3.0, 0.5, 2.0)


INSIDE = np.zeros((2, 3, 4), np.bool_)
INSIDE[:, 1:, :2] = True
VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 5


def test_scores_of_all_voxels_or_within_the_mask_have_mean_zero_and_deviation_one() -> None:
    whole = normalised(VALUES.copy(), INSIDE, Normalisation("zscore"))
    assert whole.mean() == pytest.approx(0, abs=1e-6)
    assert whole.std() == pytest.approx(1, abs=1e-6)
    masked = normalised(VALUES.copy(), INSIDE, Normalisation("zscore", True))
    assert masked[INSIDE].mean() == pytest.approx(0, abs=1e-6)
    assert masked[INSIDE].std() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(masked[~INSIDE], VALUES[~INSIDE])


def test_other_schemes_are_what_their_names_say() -> None:
    ct = normalised(VALUES.copy(), INSIDE, Normalisation("ct", False, 2.0, 4.0, -1.0, 10.0))
    np.testing.assert_allclose(ct, (np.clip(VALUES, -1, 10) - 2) / 4)
    rescaled = normalised(VALUES.copy(), INSIDE, Normalisation("rescale01"))
    np.testing.assert_allclose(rescaled, (VALUES + 5) / 23, rtol=1e-6)
    np.testing.assert_array_equal(normalised(VALUES.copy(), INSIDE, Normalisation("none")), VALUES)
    np.testing.assert_allclose(normalised(VALUES + 5, INSIDE, Normalisation("rgb01")), (VALUES + 5) / 255)
    with pytest.raises(InputError, match="0 to 255"):
        normalised(VALUES.copy(), INSIDE, Normalisation("rgb01"))


def test_a_constant_image_does_not_divide_by_zero() -> None:
    for scheme in ("zscore", "rescale01"):
        found = normalised(np.full((2, 3, 4), 7, np.float32), INSIDE, Normalisation(scheme))
        np.testing.assert_array_equal(found, 0)


def test_an_image_of_zeros_is_refused() -> None:
    with pytest.raises(InputError, match="no voxel that is not 0"):
        prepared_image(np.zeros((1, 4, 4, 4), np.float32), (1, 1, 1), plan())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_with_values_that_are_not_finite_is_refused(value: float) -> None:
    channels = np.ones((2, 4, 4, 4), np.float32)
    channels[1, 2, 1, 3] = value
    with pytest.raises(InputError, match="not finite"):
        prepared_image(channels, (1, 1, 1), plan(normalisations=(Normalisation("none"),) * 2))


def test_an_image_of_less_than_a_voxel_of_the_model_is_refused_with_both_sizes() -> None:
    with pytest.raises(InputError, match=r"measures 0\.04 x 4 x 4 mm, less than a voxel of the model \(1 x 1 x 1 mm\)"):
        prepared_image(np.ones((1, 4, 4, 4), np.float32), (0.01, 1, 1), plan())


@pytest.mark.parametrize("factor", [1e4, np.nan])
def test_scores_beyond_half_precision_are_told_and_never_become_labels(factor: float) -> None:
    class Loud(nn.Module):
        def forward(self, patch: Tensor) -> Tensor:
            return patch * factor

    voxels = np.ones((1, 4, 6, 8), np.float32)
    with pytest.raises(ModelError, match="not finite"):
        list(PatchStream([Loud()], 1, (4, 6, 5)).slabs(voxels))
