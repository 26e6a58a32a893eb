"""The band around the predicted surface, and another temperature in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.labels.surface_band import SurfaceSoftening, near_surface
from Testing.runtime.labels.surface_oracle import soften_near_surface, surface_band


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=0))
    return shares / shares.sum(axis=0)


def test_the_band_of_a_half_plane_has_two_layers_on_each_side() -> None:
    labels = np.zeros((1, 4, 12), dtype=np.uint8)
    labels[..., 6:] = 1
    band = surface_band(labels)
    assert np.flatnonzero(band[0, 0]).tolist() == [4, 5, 6, 7]
    assert (band == band[:, :1]).all()


@pytest.mark.parametrize(("width", "layers"), [(1, 2), (2, 4), (3, 6)])
def test_the_width_counts_layers_on_either_side(width: int, layers: int) -> None:
    labels = np.zeros((10, 3, 3), dtype=np.uint8)
    labels[5:] = 2
    assert surface_band(labels, width)[:, 1, 1].sum() == layers


def test_surfaces_between_two_structures_count_as_well() -> None:
    labels = np.ones((1, 1, 10), dtype=np.uint8)
    labels[..., 5:] = 2
    assert np.flatnonzero(surface_band(labels)).tolist() == [3, 4, 5, 6]


@pytest.mark.parametrize("value", [0, 3])
def test_one_label_alone_has_no_surface(value: int) -> None:
    assert not surface_band(np.full((3, 4, 5), value, dtype=np.uint8)).any()


def test_the_band_does_not_depend_on_names_or_order_of_labels() -> None:
    labels = np.random.default_rng(4).integers(0, 3, (6, 7, 8))
    renamed = np.array([2, 0, 1])[labels]
    np.testing.assert_array_equal(surface_band(labels), surface_band(renamed))
    np.testing.assert_array_equal(surface_band(labels)[:, ::-1], surface_band(labels[:, ::-1]))


def test_softening_is_the_softmax_at_the_other_temperature_in_the_band_alone() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(3, 2, 5, 40))
    logits[1, ..., :20] += 4
    logits[2, ..., 20:] += 4
    shares = softmax(logits / 1.5).astype(np.float16)
    found = soften_near_surface(shares, 1.5, 3.0)
    band = surface_band(shares.argmax(axis=0))
    assert band.any()
    assert not band.all()
    np.testing.assert_allclose(found[:, band], softmax(logits / 3.0)[:, band], atol=2e-3)
    np.testing.assert_array_equal(found[:, ~band], shares[:, ~band])


@pytest.mark.parametrize("surface_temperature", [0.5, 1.0, 8.0])
def test_softening_never_changes_the_most_probable_label(surface_temperature: float) -> None:
    logits = 2 * np.random.default_rng(6).normal(size=(4, 3, 9, 9))
    shares = softmax(logits).astype(np.float16)
    found = soften_near_surface(shares, 1.0, surface_temperature)
    # In half precision two shares can become equal; the first choice must still be among the largest.
    chosen = np.take_along_axis(found, shares.argmax(axis=0)[None], axis=0)[0]
    np.testing.assert_array_equal(chosen, found.max(axis=0))


def test_the_given_probabilities_are_not_changed() -> None:
    shares = softmax(np.random.default_rng(7).normal(size=(2, 1, 6, 6))).astype(np.float16)
    before = shares.copy()
    soften_near_surface(shares, 1.0, 2.0)
    np.testing.assert_array_equal(shares, before)


@pytest.mark.parametrize("shape", [(6, 7, 8), (1, 30, 20), (1, 1, 9), (4, 1, 1)])
def test_the_band_without_distances_is_the_band(shape: tuple[int, int, int]) -> None:
    for seed in range(4):
        labels = (np.random.default_rng(seed).random(shape) > 0.9).astype(np.uint8)
        np.testing.assert_array_equal(near_surface(labels), surface_band(labels))


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_softening_slab_by_slab_is_that_of_the_whole(step: int) -> None:
    shares = torch.softmax(4 * torch.randn((3, 15, 6, 7), generator=torch.Generator().manual_seed(1)), dim=0)
    (whole,) = SurfaceSoftening(0.4).push(shares.clone(), last=True)
    softening, slabs = SurfaceSoftening(0.4), shares.split(step, dim=1)
    parts = [part for number, slab in enumerate(slabs) for part in softening.push(slab, number == len(slabs) - 1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert not torch.equal(whole, shares)


def test_a_slab_is_handed_on_once_the_surroundings_of_all_its_slices_are_known() -> None:
    softening, slab = SurfaceSoftening(0.4), torch.full((2, 4, 3, 3), 0.5)
    handed_on = [len(softening.push(slab.clone(), last)) for last in (False, False, False, True)]
    assert handed_on == [0, 1, 1, 2]


def test_temperatures_that_lie_far_apart_leave_probabilities() -> None:
    shares = torch.tensor([[0.6, 0.3], [0.4, 0.7]]).reshape(2, 1, 1, 2)
    (found,) = SurfaceSoftening(10_000.0).push(shares, last=True)
    assert found.flatten().tolist() == [1.0, 0.0, 0.0, 1.0]
