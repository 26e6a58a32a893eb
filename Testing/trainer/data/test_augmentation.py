"""Augmentation: a record says everything, and geometry is done in millimetres."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from trainer.data import augmentation
from trainer.data.augmentation import Augmentation, Vector, apply_augmentation, draw_augmentation

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
SHAPE = (8, 14, 16)
PATCH = (4, 10, 12)


def case(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random(SHAPE).astype(np.float16), rng.integers(0, 4, SHAPE).astype(np.uint8)


def cut(record: Augmentation, *arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and labels of a patch."""
    patch = apply_augmentation(record, *arguments)
    return patch.image, patch.labels


def centre_of(start: tuple[int, int, int], patch: tuple[int, int, int]) -> Vector:
    z, y, x = (a + (n - 1) / 2 for a, n in zip(start, patch, strict=True))
    return z, y, x


@pytest.mark.parametrize("start, patch", [((1, 2, 3), (4, 6, 8)), ((0, 0, 0), SHAPE), ((2, 3, 4), (5, 7, 9))])
def test_without_changes_a_patch_is_exactly_the_crop(start: tuple[int, int, int], patch: tuple[int, int, int]) -> None:
    voxels, labels = case()
    image, target = cut(Augmentation(centre_of(start, patch), IDENTITY), voxels, labels, patch)
    crop = tuple(slice(a, a + n) for a, n in zip(start, patch, strict=True))
    assert image.shape == (1, *patch)
    assert (image.dtype, target.dtype) == (torch.float32, torch.int64)
    np.testing.assert_allclose(image[0].numpy(), voxels[crop].astype(np.float32), atol=2e-5)
    np.testing.assert_array_equal(target.numpy(), labels[crop])


@pytest.mark.parametrize(
    "turns, matrix", [(1, ((1, 0, 0), (0, 0, 1), (0, -1, 0))), (2, ((1, 0, 0), (0, -1, 0), (0, 0, -1)))]
)
def test_a_quarter_turn_in_the_plane_is_that_of_numpy(
    turns: int, matrix: tuple[tuple[float, float, float], ...]
) -> None:
    voxels, labels = case()
    patch = (4, 10, 10)
    record = Augmentation(centre_of((2, 2, 3), patch), tuple(tuple(map(float, r)) for r in matrix))  # type: ignore[arg-type]
    image, target = cut(record, voxels, labels, patch)
    crop = (slice(2, 6), slice(2, 12), slice(3, 13))
    np.testing.assert_array_equal(target.numpy(), np.rot90(labels[crop], turns, axes=(1, 2)))
    expected = np.rot90(voxels[crop].astype(np.float32), turns, axes=(1, 2))
    np.testing.assert_allclose(image[0].numpy(), expected, atol=2e-5)


def test_outside_the_case_everything_is_zero() -> None:
    voxels, labels = case()
    patch = (12, 20, 24)
    image, target = cut(Augmentation((3.5, 6.5, 7.5), IDENTITY), voxels + 1, labels | 1, patch)
    inside = (slice(2, 10), slice(3, 17), slice(4, 20))
    mask = np.zeros(patch, dtype=bool)
    mask[inside] = True
    np.testing.assert_allclose(image[0].numpy()[~mask], 0, atol=2e-5)
    assert (target.numpy()[~mask] == 0).all()
    assert (image[0].numpy()[mask] > 0.9).all()
    assert (target.numpy()[mask] > 0).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"brightness": 0.1}, {"contrast": 0.75}, {"noise_sigma": 0.08, "noise_seed": 1}, {"bias": 0.3},
        {"blur_sigma": 1.0}, {"shrink": 2.0}, {"gamma": 0.7},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_padding_stays_what_the_runtime_gives_the_network_whatever_is_done_to_the_intensities(
    changes: dict[str, float],
) -> None:
    voxels, labels = case()
    patch = apply_augmentation(
        Augmentation((3.5, 6.5, 7.5), IDENTITY, **changes), 0.5 + voxels / 4, labels, (12, 20, 24)
    )
    mask = np.zeros((12, 20, 24), dtype=bool)
    mask[2:10, 3:17, 4:20] = True
    np.testing.assert_array_equal(patch.inside[0].numpy(), mask)
    assert (patch.image[0].numpy()[~mask] == 0).all()
    # Nothing of the outside comes in: along the border the image is as bright as inside.
    assert patch.image[0].numpy()[mask].min() > 0.05


def test_the_outer_half_of_the_last_voxel_is_as_bright_as_its_middle() -> None:
    """Turned a little, patches have voxels whose centres lie there."""
    voxels, labels = np.full(SHAPE, 0.5, dtype=np.float16), np.ones(SHAPE, dtype=np.uint8)
    angle = np.radians(20.0)
    turn = ((1.0, 0.0, 0.0), (0.0, np.cos(angle), -np.sin(angle)), (0.0, np.sin(angle), np.cos(angle)))
    patch = apply_augmentation(Augmentation((3.5, 6.5, 7.5), turn), voxels, labels, (12, 24, 24))
    torch.testing.assert_close(patch.image, 0.5 * patch.inside)
    np.testing.assert_array_equal(patch.labels.numpy() > 0, patch.inside[0].numpy())


def test_the_same_record_gives_the_same_patch_and_the_same_draw_the_same_record() -> None:
    voxels, labels = case()
    for seed in range(20):
        record = draw_augmentation(np.random.default_rng(seed), (4.0, 6.0, 7.0), (1.0, 1.0, 1.0), PATCH, False)
        assert record == draw_augmentation(np.random.default_rng(seed), (4.0, 6.0, 7.0), (1.0, 1.0, 1.0), PATCH, False)
        first = cut(record, voxels, labels, (4, 8, 8))
        second = cut(record, voxels, labels, (4, 8, 8))
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])


def test_global_random_numbers_do_not_count() -> None:
    voxels, labels = case()
    record = Augmentation((4.0, 6.0, 7.0), IDENTITY, noise_sigma=0.1, noise_seed=3, bias=0.2)
    first = cut(record, voxels, labels, (4, 8, 8))[0]
    torch.manual_seed(99)
    assert torch.equal(cut(record, voxels, labels, (4, 8, 8))[0], first)
    other = cut(replace(record, noise_seed=4), voxels, labels, (4, 8, 8))[0]
    assert not torch.equal(other, first)


@pytest.mark.parametrize("seed", range(40))
def test_shapes_are_kept_in_millimetres_whatever_the_voxels(seed: int) -> None:
    # Same draw on two grids of one scene: in millimetres both do the same.
    spacing = np.array([2.5, 1.0, 0.5])
    isotropic = draw_augmentation(np.random.default_rng(seed), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), PATCH, False)
    z, y, x = spacing
    anisotropic = draw_augmentation(np.random.default_rng(seed), (0.0, 0.0, 0.0), (z, y, x), PATCH, False)
    in_mm = np.diag(spacing) @ np.array(anisotropic.matrix) @ np.diag(1 / spacing)
    expected = np.array(isotropic.matrix)
    np.testing.assert_allclose(in_mm, expected, atol=1e-9)
    # A rotation times scales: the columns stay at right angles, so no ball becomes skewed.
    gram = expected.T @ expected
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9)
    assert np.linalg.det(expected) > 0


@pytest.mark.parametrize("spacing, planar", [((3.0, 1.0, 1.0), False), ((1.0, 1.0, 1.0), True)])
def test_thick_slices_and_pictures_are_changed_in_the_plane_only(spacing: Vector, planar: bool) -> None:
    matrices = [
        np.array(draw_augmentation(np.random.default_rng(seed), (0.0, 0.0, 0.0), spacing, PATCH, planar).matrix)
        for seed in range(60)
    ]
    for matrix in matrices:
        np.testing.assert_array_equal(matrix[0], [1, 0, 0])
        np.testing.assert_array_equal(matrix[:, 0], [1, 0, 0])
    assert any(not np.allclose(matrix, np.eye(3)) for matrix in matrices)
    tilted = [
        draw_augmentation(np.random.default_rng(s), (0.0, 0.0, 0.0), (2.9, 1.0, 1.0), PATCH, False) for s in range(60)
    ]
    assert any(record.matrix[0][1] != 0 for record in tilted)


@pytest.mark.parametrize("mirror", ["", "x", "zy"])
def test_only_the_named_axes_are_mirrored_and_about_half_of_the_time(mirror: str) -> None:
    draws = 200
    signs = np.array(
        [
            np.sign(
                np.diag(
                    draw_augmentation(np.random.default_rng(s), (0.0,) * 3, (1.0,) * 3, PATCH, False, mirror).matrix
                )
            )
            for s in range(draws)
        ]
    )
    for axis, name in enumerate("zyx"):
        share = (signs[:, axis] < 0).mean()
        assert (0.35 < share < 0.65) if name in mirror else share == 0


def test_labels_never_get_new_values_and_images_stay_in_range() -> None:
    voxels, labels = case()
    labels[labels == 2] = 0
    for seed in range(30):
        record = draw_augmentation(np.random.default_rng(seed), (4.0, 7.0, 8.0), (1.0, 1.0, 1.0), PATCH, False, "zyx")
        image, target = cut(record, voxels, labels, (6, 10, 10))
        assert set(target.unique().tolist()) <= {0, 1, 3}
        assert 0 <= float(image.min()) <= float(image.max()) <= 1


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"gamma": 2.0}, 0.25),
        ({"contrast": 0.5}, 0.5),
        ({"brightness": 0.25}, 0.75),
        ({"gamma": 2.0, "contrast": 0.5}, 0.375),
        ({"contrast": 4.0, "brightness": 0.7}, 1.0),
        ({"blur_sigma": 1.0}, 0.5),
        ({"shrink": 2.0}, 0.5),
    ],
)
def test_intensity_changes_of_a_flat_patch_follow_their_formulas(changes: dict[str, float], expected: float) -> None:
    voxels, labels = np.full(SHAPE, 0.5, dtype=np.float16), np.zeros(SHAPE, dtype=np.uint8)
    record = Augmentation(centre_of((1, 1, 1), (4, 8, 8)), IDENTITY, **changes)  # type: ignore[arg-type]
    image, _ = cut(record, voxels, labels, (4, 8, 8))
    np.testing.assert_allclose(image.numpy(), expected, atol=1e-5)


def test_gamma_comes_before_contrast_and_brightness_after_it() -> None:
    voxels, labels = np.full(SHAPE, 0.8, dtype=np.float32), np.zeros(SHAPE, dtype=np.uint8)
    record = Augmentation(centre_of((0, 0, 0), SHAPE), IDENTITY, gamma=2.0, contrast=0.5, brightness=0.1)
    image, _ = cut(record, voxels, labels, SHAPE)
    np.testing.assert_allclose(image.numpy(), (0.8**2 - 0.5) * 0.5 + 0.5 + 0.1, atol=1e-5)


def biased(value: float, bias: float) -> np.ndarray:
    """A flat patch under a bias field."""
    voxels, labels = np.full(SHAPE, value, dtype=np.float32), np.zeros(SHAPE, dtype=np.uint8)
    record = Augmentation(centre_of((0, 0, 0), SHAPE), IDENTITY, bias=bias, noise_seed=4)
    return cut(record, voxels, labels, SHAPE)[0][0].numpy()


def test_a_bias_field_multiplies_and_its_logarithm_grows_with_its_amplitude() -> None:
    # Black stays black, and twice as bright stays twice as bright.
    np.testing.assert_array_equal(biased(0.0, 0.3), 0.0)
    np.testing.assert_allclose(biased(0.4, 0.2), 2 * biased(0.2, 0.2), rtol=1e-4)
    weak, strong = (np.log(biased(0.3, bias) / 0.3) for bias in (0.1, 0.2))
    np.testing.assert_allclose(strong, 2 * weak, atol=1e-4)
    assert strong.std() > 0.05
    # It is smooth: neighbours differ far less than the ends.
    assert np.abs(np.diff(strong, axis=2)).max() < 0.5 * np.ptp(strong)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_patch_is_the_mirrored_crop_labels_included(axis: int) -> None:
    voxels, labels = case()
    signs = np.where(np.arange(3) == axis, -1.0, 1.0)
    matrix = tuple(tuple(map(float, row)) for row in np.diag(signs))
    record = Augmentation(centre_of((1, 2, 3), (4, 6, 8)), matrix)  # type: ignore[arg-type]
    image, target = cut(record, voxels, labels, (4, 6, 8))
    crop = (slice(1, 5), slice(2, 8), slice(3, 11))
    np.testing.assert_array_equal(target.numpy(), np.flip(labels[crop], axis))
    np.testing.assert_allclose(image[0].numpy(), np.flip(voxels[crop].astype(np.float32), axis), atol=2e-5)


@pytest.mark.parametrize("seed", range(12))
def test_a_drawn_geometry_moves_image_and_labels_together(seed: int) -> None:
    """A case whose voxels are its labels stays so away from the edges between labels, whatever was drawn."""
    labels = np.zeros((12, 40, 40), dtype=np.uint8)
    labels[2:9, 8:30, 12:35] = 1
    drawn = draw_augmentation(
        np.random.default_rng(seed), (5.5, 19.5, 19.5), (1.5, 1.0, 1.0), (8, 32, 32), False, "zyx"
    )
    record = Augmentation(
        drawn.centre_zyx, drawn.matrix, elastic_voxels=drawn.elastic_voxels, elastic_seed=drawn.elastic_seed
    )
    image, target = cut(record, labels.astype(np.float32), labels, (8, 32, 32))
    found = image[0].numpy()
    sure = (found < 0.01) | (found > 0.99)
    assert sure.mean() > 0.4
    np.testing.assert_array_equal(target.numpy()[sure], found[sure].round())
    assert 0.1 < target.numpy().mean() < 0.9


def test_blur_is_the_gaussian_of_scipy_and_stays_in_the_slice() -> None:
    from scipy.ndimage import gaussian_filter

    voxels, labels = case()
    record = Augmentation(centre_of((0, 0, 0), SHAPE), IDENTITY, blur_sigma=1.0)
    image, _ = cut(record, voxels, labels, SHAPE)
    expected = gaussian_filter(voxels.astype(np.float32), (0, 1.0, 1.0), mode="nearest", truncate=3.0)
    np.testing.assert_allclose(image[0].numpy(), expected, atol=1e-4)


def test_noise_has_the_drawn_standard_deviation() -> None:
    voxels, labels = np.full(SHAPE, 0.5, dtype=np.float16), np.zeros(SHAPE, dtype=np.uint8)
    record = Augmentation(centre_of((0, 0, 0), SHAPE), IDENTITY, noise_sigma=0.05, noise_seed=5)
    image, _ = cut(record, voxels, labels, SHAPE)
    assert float(image.std()) == pytest.approx(0.05, rel=0.1)
    assert float(image.mean()) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    "changes", [{"shrink": 1.2}, {"shrink": 1.5}, {"shrink": 1.8}, {"shrink": 2.0}, {"blur_sigma": 1.0}]
)
def test_a_loss_of_resolution_does_not_move_the_image_against_its_labels(changes: dict[str, float]) -> None:
    _, y, x = np.indices((1, 48, 48))
    voxels = np.exp(-((y - 21.3) ** 2 + (x - 25.6) ** 2) / 50).astype(np.float32)
    record = Augmentation((0.0, 23.5, 23.5), IDENTITY, **changes)  # type: ignore[arg-type]
    image, _ = cut(record, voxels, np.zeros(voxels.shape, np.uint8), voxels.shape)
    found = image[0].numpy()
    assert np.abs(found - voxels).max() > 1e-3
    for axis, centre in ((y, 21.3), (x, 25.6)):
        assert (found * axis).sum() / found.sum() == pytest.approx(centre, abs=0.05)


def elastic(voxels_zyx: Vector, seed: int = 3) -> Augmentation:
    return Augmentation((3.5, 19.5, 19.5), IDENTITY, elastic_voxels=voxels_zyx, elastic_seed=seed)


def test_an_elastic_displacement_moves_image_and_labels_alike() -> None:
    """A case whose voxels are its labels stays so away from the edges between labels, however it is deformed."""
    labels = np.zeros((8, 40, 40), dtype=np.uint8)
    labels[2:6, 10:30, 12:28] = 1
    record = elastic((0.0, 1.5, 1.5))
    image, target = cut(record, labels.astype(np.float32), labels, labels.shape)
    assert (target.numpy() != labels).sum() > 20
    sure = (image[0] < 0.01) | (image[0] > 0.99)
    np.testing.assert_array_equal(target.numpy()[sure], image[0].round().long().numpy()[sure])
    assert (image[0].round().long() == target).float().mean() > 0.999


def test_an_elastic_displacement_in_the_plane_keeps_slices_apart() -> None:
    slices = np.repeat(np.arange(8, dtype=np.uint8)[:, None, None], 40, axis=1).repeat(40, axis=2)
    _, target = cut(elastic((0.0, 1.0, 1.0)), slices.astype(np.float32), slices, (8, 20, 20))
    np.testing.assert_array_equal(target.numpy(), slices[:, :20, :20])
    _, moved = cut(elastic((1.5, 1.0, 1.0)), slices.astype(np.float32), slices, (8, 20, 20))
    assert (moved.numpy() != slices[:, :20, :20]).any()


def test_the_same_elastic_record_gives_the_same_patch_and_another_seed_another_one() -> None:
    rng = np.random.default_rng(0)
    voxels, labels = rng.random((8, 40, 40)).astype(np.float32), np.zeros((8, 40, 40), dtype=np.uint8)
    first, second, other = (cut(elastic((0.0, 2.0, 2.0), seed), voxels, labels, (8, 30, 30))[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_drawn_displacements_leave_thick_slices_and_planes_alone_and_seldom_fold() -> None:
    records = [
        draw_augmentation(np.random.default_rng(s), (0.0, 0.0, 0.0), (8.0, 1.0, 1.0), (12, 120, 96), False)
        for s in range(200)
    ]
    assert all(r.elastic_voxels[0] == 0.0 for r in records)
    deformed = [r for r in records if any(r.elastic_voxels)]
    assert 40 < len(deformed) < 120
    assert max(r.elastic_voxels[1] for r in deformed) <= 0.2 * 120 / 6
    isotropic = [
        draw_augmentation(np.random.default_rng(s), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (30, 60, 60), False)
        for s in range(30)
    ]
    assert any(r.elastic_voxels[0] > 0 for r in isotropic)


class Noted:
    """An array on disk that notes which parts of it are read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.read = array, array.shape, 0

    def __getitem__(self, box: tuple[slice, slice, slice]) -> np.ndarray:
        part = self.array[box]
        self.read += part.size
        return part


def drawn(seed: int) -> tuple[Augmentation, np.ndarray, np.ndarray, tuple[int, int, int]]:
    """A case and a patch of any size, the patch anywhere in the case and sometimes beside it."""
    rng = np.random.default_rng(seed)
    shape, patch = (tuple(int(n) for n in rng.integers(1, most, 3)) for most in (60, 20))
    centre = rng.uniform(-30, 90, 3) if seed % 5 == 0 else rng.uniform(0, 1, 3) * shape
    spacing = (1.0, 1.0, 1.0) if seed % 2 else (5.0, 1.0, 1.0)
    record = draw_augmentation(rng, tuple(centre.tolist()), spacing, patch, False, "zyx")  # type: ignore[arg-type]
    labels = rng.integers(0, 4, shape).astype(np.uint8)
    return record, rng.random(shape).astype(np.float16), labels, patch  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(40))
def test_a_patch_is_to_the_bit_the_one_that_is_sampled_from_the_whole_case(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, voxels, labels, patch = drawn(seed)
    grid = augmentation._sampling_grid(record, voxels.shape, patch)
    whole = [torch.from_numpy(array.astype(np.float32))[None, None] for array in (voxels, labels)]
    image, mask = (
        functional.grid_sample(array, grid, mode=mode, padding_mode=beyond, align_corners=False)
        for array, mode, beyond in zip(whole, ("bilinear", "nearest"), ("border", "zeros"), strict=True)
    )
    # Whatever is in the memory around the part that was cut, it is not looked at.
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, **options: empty(*size, **options).fill_(float("nan")))
    found = apply_augmentation(record, voxels, labels, patch)
    inside = (grid.abs() <= 1).all(dim=-1)
    assert torch.equal(found.image, augmentation.change_intensity(record, image)[0] * inside)
    assert torch.equal(found.labels, mask[0, 0].long())


def test_of_a_large_case_only_the_part_around_the_patch_is_read() -> None:
    rng = np.random.default_rng(0)
    voxels, labels = Noted(np.zeros((90, 100, 110), np.float16)), Noted(np.zeros((90, 100, 110), np.uint8))
    apply_augmentation(Augmentation((45.0, 50.0, 55.0), IDENTITY), voxels, labels, (8, 16, 16))
    # The patch and a margin of at most two voxels on every side.
    assert voxels.read == labels.read <= 12 * 20 * 20
    for _ in range(20):
        voxels.read = 0
        record = draw_augmentation(rng, (45.0, 50.0, 55.0), (1.0, 1.0, 1.0), (8, 16, 16), False)
        apply_augmentation(record, voxels, labels, (8, 16, 16))
        # Scaling by up to 1.46, turning, and bending.
        assert voxels.read < 40**3
