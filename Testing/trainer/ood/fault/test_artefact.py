"""Artefacts: what each does to voxels, labels and geometry, on volumes, thick slices and 2-D images."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.ood.fault.artefact import (
    ARTEFACT_KINDS,
    GEOMETRY_FAULTS,
    INTENSITY_FAULTS,
    PLANAR_ARTEFACT_KINDS,
    SEVERITIES,
    Artefact,
    apply_artefact,
    draw_artefact,
)
from trainer.ood.fault.canonical_image import canonical_image

SHAPES = {
    "volume": ((24, 30, 36), (1.0, 1.0, 1.0)),
    "thick": ((8, 40, 36), (1.5, 1.5, 8.0)),
    "planar": ((1, 48, 44), (1.0, 1.0, 1.0)),
}
SAME_FOR_EVERY_SEED = ("blur", "inversion")


def scene(form: str, offset: float = 0.0, scale: float = 1000.0) -> tuple[Volume, np.ndarray]:
    """A body with an off-centre organ in air, and labels 1 and 2 of both."""
    shape, spacing = SHAPES[form]
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    body = (z / 1.2) ** 2 + (y / 0.8) ** 2 + (x / 0.7) ** 2 < 1
    organ = z**2 + (y + 0.3) ** 2 + (x - 0.2) ** 2 < 0.15
    texture = 0.05 * np.random.default_rng(0).standard_normal(shape)
    voxels = np.clip(0.5 * body + 0.4 * organ + texture * body + 0.02 * np.abs(texture), 0, None)
    labels = (body.astype(np.uint8) + organ).astype(np.uint8)
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = (5.0, -7.0, 11.0)
    return Volume((voxels * scale + offset).astype(np.float32), matrix, "scene"), labels


def distance(one: Volume, other: Volume) -> float:
    return float(np.sqrt(np.mean(np.square(one.voxels - other.voxels))))


@pytest.mark.parametrize("form", SHAPES)
@pytest.mark.parametrize("kind", ARTEFACT_KINDS)
def test_every_kind_at_every_severity_changes_a_finite_image_and_leaves_the_input_alone(kind: str, form: str) -> None:
    volume, labels = scene(form)
    before = volume.voxels.copy()
    for severity in SEVERITIES:
        faulty, found = apply_artefact(Artefact(kind, severity, 3), volume, labels)
        assert np.isfinite(faulty.voxels).all()
        assert faulty.voxels.dtype == np.float32
        assert found is not None
        assert found.shape == faulty.shape
        assert found.dtype == labels.dtype
        same_grid = faulty.shape == volume.shape and np.allclose(faulty.ijk_to_lps, volume.ijk_to_lps)
        assert not (same_grid and np.allclose(faulty.voxels, volume.voxels, rtol=1e-3))
    np.testing.assert_array_equal(volume.voxels, before)


@pytest.mark.parametrize("form", SHAPES)
@pytest.mark.parametrize("kind", INTENSITY_FAULTS)
def test_a_higher_severity_is_farther_from_the_original(kind: str, form: str) -> None:
    volume, _ = scene(form)
    for seed in range(4):
        found = [distance(apply_artefact(Artefact(kind, s, seed), volume)[0], volume) for s in SEVERITIES]
        assert found[0] < found[1] < found[2], (seed, found)


@pytest.mark.parametrize("form", SHAPES)
@pytest.mark.parametrize("kind", ARTEFACT_KINDS)
def test_the_same_record_gives_the_same_image_and_another_seed_another_one(kind: str, form: str) -> None:
    volume, _ = scene(form)
    results = [apply_artefact(Artefact(kind, 2, seed), volume)[0] for seed in (0, 0, 1, 2, 3, 4, 5)]
    np.testing.assert_array_equal(results[0].voxels, results[1].voxels)
    np.testing.assert_array_equal(results[0].ijk_to_lps, results[1].ijk_to_lps)
    differ = [
        other.shape != results[0].shape
        or not np.array_equal(other.voxels, results[0].voxels)
        or not np.array_equal(other.ijk_to_lps, results[0].ijk_to_lps)
        for other in results[2:]
    ]
    only_one_way = kind in SAME_FOR_EVERY_SEED or (kind == "anisotropy" and form == "volume")
    only_one_way = only_one_way or (kind == "wrong_orientation" and form != "volume")
    assert any(differ) != only_one_way


@pytest.mark.parametrize("kind", INTENSITY_FAULTS)
def test_a_change_of_the_intensity_scale_changes_the_fault_with_it(kind: str) -> None:
    volume, _ = scene("volume")
    # Below 0 nothing is folded, so both are handled alike: -1000 as in CT.
    one, other = replace(volume, voxels=volume.voxels - 1000), replace(volume, voxels=7 * volume.voxels - 5000)
    record = Artefact(kind, 2, 5)
    found, scaled = apply_artefact(record, one)[0].voxels, apply_artefact(record, other)[0].voxels
    np.testing.assert_allclose(7 * (found + 1000) - 5000, scaled, atol=0.02 * 7000, rtol=0)


@pytest.mark.parametrize("kind", INTENSITY_FAULTS)
def test_an_image_without_negative_values_gets_none(kind: str) -> None:
    for form in SHAPES:
        volume, _ = scene(form)
        assert apply_artefact(Artefact(kind, 3, 1), volume)[0].voxels.min() >= volume.voxels.min() - 1e-3


@pytest.mark.parametrize("kind", ["motion", "cut_off", "zipper", "anisotropy", "cropped_field_of_view"])
def test_a_fault_does_not_depend_on_how_the_array_is_stored(kind: str) -> None:
    volume, labels = scene("volume")
    # The same image with axes (Z, Y, X) stored as (X, Z, flipped Y).
    stored = np.ascontiguousarray(np.flip(volume.voxels.transpose(2, 0, 1), 2))
    matrix = np.eye(4)
    n_y = volume.shape[1]
    x, y, z, origin = volume.ijk_to_lps.T
    matrix[:, 0], matrix[:, 1], matrix[:, 2], matrix[:, 3] = -y, z, x, origin + (n_y - 1) * y
    turned = Volume(stored, matrix)
    turned_labels = np.ascontiguousarray(np.flip(labels.transpose(2, 0, 1), 2))
    record = Artefact(kind, 2, 4)
    (one, one_labels), (other, other_labels) = (
        apply_artefact(record, v, lab) for v, lab in ((volume, labels), (turned, turned_labels))
    )
    assert one_labels is not None
    assert other_labels is not None
    back = canonical_reorientation(other)
    np.testing.assert_allclose(back.apply(other.voxels), one.voxels, atol=1.0)
    np.testing.assert_array_equal(back.apply(other_labels), one_labels)


def test_inversion_twice_is_the_identity() -> None:
    for form in SHAPES:
        volume, _ = scene(form, offset=-300)
        record = Artefact("inversion", 3, 0)
        once, _ = apply_artefact(record, volume)
        np.testing.assert_allclose(once.voxels, volume.voxels.max() + volume.voxels.min() - volume.voxels, atol=1e-2)
        np.testing.assert_allclose(apply_artefact(record, once)[0].voxels, volume.voxels, atol=1e-2)


def test_a_mild_inversion_keeps_dark_values_and_turns_bright_ones() -> None:
    ramp = np.linspace(-100, 900, 2000, dtype=np.float32).reshape(20, 10, 10)
    found = apply_artefact(Artefact("inversion", 1, 0), Volume(ramp, np.eye(4)))[0].voxels.ravel()
    dark = ramp.ravel() < 600
    np.testing.assert_allclose(found[dark], ramp.ravel()[dark], atol=1e-2)
    assert (np.diff(found[ramp.ravel() > 700]) < 0).all()


def test_noise_has_the_standard_deviation_that_was_asked_for() -> None:
    ramp = np.linspace(-1000, 1000, 64_000, dtype=np.float32).reshape(40, 40, 40)
    noisy, _ = apply_artefact(Artefact("noise", 2, 9), Volume(ramp, np.eye(4)))
    # 0.12 of the robust range, which is 98 % of 2000
    assert (noisy.voxels - ramp).std() == pytest.approx(0.12 * 1960, rel=0.02)
    assert (noisy.voxels - ramp).mean() == pytest.approx(0, abs=4)


def test_a_bias_field_is_a_smooth_gain_of_the_ratio_that_was_asked_for() -> None:
    z, y, x = np.ix_(*(np.linspace(-1, 1, 33),) * 3)
    inside = z**2 + y**2 + x**2 <= 1
    checks = (np.indices((33, 33, 33)).sum(axis=0) % 2 * 100.0).astype(np.float32)
    for severity, ratio in zip(SEVERITIES, (2.0, 3.5, 6.0), strict=True):
        found = apply_artefact(Artefact("bias_field", severity, 2), Volume(checks, np.eye(4)))[0].voxels
        assert found[checks == 0] == pytest.approx(0, abs=1e-3)
        gain = found[inside & (checks > 0)]
        assert gain.max() / gain.min() == pytest.approx(ratio, rel=0.02)


def test_anisotropy_loses_detail_along_one_axis_only() -> None:
    stripes = (np.indices((32, 32, 32)) // 2 % 2 * 100.0).astype(np.float32)
    for axis, kept in ((0, False), (1, True), (2, True)):
        found = apply_artefact(Artefact("anisotropy", 3, 0), Volume(stripes[axis], np.eye(4)))[0].voxels
        assert np.allclose(found, stripes[axis], atol=0.1) is kept


def test_cutting_off_always_takes_a_part_of_the_body() -> None:
    voxels = np.zeros((30, 40, 50), np.float32)
    voxels[10:20, 15:25, 20:30] = np.random.default_rng(0).uniform(90, 110, (10, 10, 10))
    for seed in range(8):
        for severity, share in zip(SEVERITIES, (0.2, 0.3, 0.5), strict=True):  # 15 % of 10 lines are 2
            faulty, _ = apply_artefact(Artefact("cut_off", severity, seed), Volume(voxels, np.eye(4)))
            assert (faulty.voxels < 1).sum() - (voxels < 1).sum() == share * 1000


def test_places_are_drawn_inside_a_body_that_fills_little_of_the_image() -> None:
    voxels = np.zeros((30, 40, 50), np.float32)
    voxels[10:20, 15:25, 20:30] = np.random.default_rng(0).uniform(90, 110, (10, 10, 10))
    image = canonical_image(Volume(voxels, np.eye(4)))
    assert all(voxels[image.draw_place(np.random.default_rng(seed))] > 0 for seed in range(20))


def test_cutting_off_empties_one_side_and_leaves_the_rest() -> None:
    volume, labels = scene("planar")
    volume = replace(volume, voxels=volume.voxels + 10)
    for seed in range(6):
        faulty, found = apply_artefact(Artefact("cut_off", 3, seed), volume, labels)
        empty = np.isclose(faulty.voxels, volume.voxels.min())
        lines = empty[0].all(axis=0).sum() / 44, empty[0].all(axis=1).sum() / 48
        assert max(lines) == pytest.approx(0.5, abs=0.02)
        np.testing.assert_allclose(faulty.voxels[~empty], volume.voxels[~empty], atol=1e-2)
        np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize("form", SHAPES)
def test_a_wrong_spacing_changes_the_header_only(form: str) -> None:
    volume, labels = scene(form)
    for severity, factor in zip(SEVERITIES, (1.5, 2.0, 3.0), strict=True):
        ratios = set()
        for seed in range(8):
            faulty, found = apply_artefact(Artefact("wrong_spacing", severity, seed), volume, labels)
            np.testing.assert_array_equal(faulty.voxels, volume.voxels)
            np.testing.assert_array_equal(found, labels)
            np.testing.assert_array_equal(faulty.ijk_to_lps[:, 3], volume.ijk_to_lps[:, 3])
            ratio = np.asarray(faulty.spacing_mm) / np.asarray(volume.spacing_mm)
            assert ratio == pytest.approx(ratio[0])
            ratios.add(round(float(ratio[0]), 6))
        assert ratios == {factor, round(1 / factor, 6)}


@pytest.mark.parametrize("form", SHAPES)
def test_a_wrong_orientation_keeps_the_header_and_every_voxel_with_its_label(form: str) -> None:
    volume, labels = scene(form)
    for severity in SEVERITIES:
        faulty, found = apply_artefact(Artefact("wrong_orientation", severity, 1), volume, labels)
        np.testing.assert_array_equal(faulty.ijk_to_lps, volume.ijk_to_lps)
        assert found is not None
        pairs = [np.stack([a.ravel(), b.ravel()]) for a, b in ((volume.voxels, labels), (faulty.voxels, found))]
        before, after = (p[:, np.lexsort(p)] for p in pairs)
        np.testing.assert_array_equal(after, before)
        assert faulty.shape != volume.shape or not np.array_equal(faulty.voxels, volume.voxels)
        if form != "volume":
            assert faulty.shape[0] == volume.shape[0]


def test_the_strongest_wrong_orientation_moves_every_axis() -> None:
    z, y, x = np.indices((5, 6, 7), dtype=np.float32)
    faulty, _ = apply_artefact(Artefact("wrong_orientation", 3, 0), Volume(100 * z + 10 * y + x, np.eye(4)))
    assert faulty.shape == (7, 5, 6)
    assert np.diff(faulty.voxels[:, 0, 0]) == pytest.approx(1)
    assert np.diff(faulty.voxels[0, :, 0]) == pytest.approx(100)


@pytest.mark.parametrize("form", SHAPES)
def test_a_crop_is_a_part_of_the_image_at_its_place_in_the_world(form: str) -> None:
    volume, labels = scene(form)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in volume.shape), indexing="ij")).astype(np.float32)
    code = index[0] * 10_000 + index[1] * 100 + index[2]
    for severity, share in zip(SEVERITIES, (0.7, 0.5, 0.3), strict=True):
        faulty, found = apply_artefact(Artefact("cropped_field_of_view", severity, 6), volume, labels)
        shares = (share if form == "volume" else 1.0, share, share)
        assert faulty.shape == tuple(round(s * n) for s, n in zip(shares, volume.shape, strict=True))
        coded, _ = apply_artefact(Artefact("cropped_field_of_view", severity, 6), replace(volume, voxels=code))
        first = int(coded.voxels[0, 0, 0])
        z, y, x = first // 10_000, first // 100 % 100, first % 100
        box = tuple(slice(s, s + n) for s, n in zip((z, y, x), faulty.shape, strict=True))
        np.testing.assert_array_equal(faulty.voxels, volume.voxels[box])
        np.testing.assert_array_equal(found, labels[box])
        np.testing.assert_allclose(faulty.ijk_to_lps[:, 3], volume.ijk_to_lps @ [x, y, z, 1])
        np.testing.assert_array_equal(faulty.ijk_to_lps[:, :3], volume.ijk_to_lps[:, :3])


def test_few_slices_are_not_cropped() -> None:
    voxels = np.random.default_rng(0).random((16, 30, 30)).astype(np.float32)
    assert apply_artefact(Artefact("cropped_field_of_view", 3, 0), Volume(voxels, np.eye(4)))[0].shape == (16, 9, 9)


def test_drawn_records_use_the_generator_only() -> None:
    state = torch.random.get_rng_state()
    records = [draw_artefact("noise", 1, np.random.default_rng(8)) for _ in range(2)]
    assert records[0] == records[1]
    assert str(records[0]) == "noise 1"
    for kind in ("noise", "motion", "spikes"):
        apply_artefact(Artefact(kind, 1, 0), scene("planar")[0])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_list_of_kinds_is_what_can_be_applied() -> None:
    assert set(ARTEFACT_KINDS) == {*INTENSITY_FAULTS, *GEOMETRY_FAULTS}
    assert len(ARTEFACT_KINDS) == len(INTENSITY_FAULTS) + len(GEOMETRY_FAULTS) == 15
    assert set(ARTEFACT_KINDS) - set(PLANAR_ARTEFACT_KINDS) == {"wrong_spacing"}


@pytest.mark.parametrize(
    ("kind", "severity", "seed"), [("rust", 1, 0), ("noise", 0, 0), ("noise", 4, 0), ("blur", 1, -1)]
)
def test_a_record_that_cannot_be_is_refused(kind: str, severity: int, seed: int) -> None:
    with pytest.raises(UsageError):
        Artefact(kind, severity, seed)


@pytest.mark.parametrize("kind", ARTEFACT_KINDS)
def test_a_constant_image_and_one_with_nan_are_refused(kind: str) -> None:
    for voxels in (np.full((4, 5, 6), 7, np.float32), np.full((4, 5, 6), np.nan, np.float32)):
        with pytest.raises(InputError):
            apply_artefact(Artefact(kind, 1, 0), Volume(voxels, np.eye(4)))


def test_labels_on_another_grid_are_refused() -> None:
    volume, labels = scene("volume")
    with pytest.raises(InputError, match="labels of shape"):
        apply_artefact(Artefact("noise", 1, 0), volume, labels[1:])


def test_without_torchio_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, *_: Any) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(UsageError, match=r"pip install \"\.\[benchmark\]\""):
        apply_artefact(Artefact("noise", 1, 0), scene("planar")[0])
    assert apply_artefact(Artefact("zipper", 1, 0), scene("planar")[0])[0].shape == (1, 48, 44)
