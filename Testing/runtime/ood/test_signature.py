"""Signatures: what they must not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.ood.image_statistics import image_statistics
from MultiTaskSegLib.runtime.ood.signature import MULTILAYER_FLOOR, SignatureSpec, signature_spec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from Testing.runtime.random_network import THICK_SLICES

MULTILAYER = SignatureSpec("multilayer", ("decoder0",), MULTILAYER_FLOOR)
PAPER = SignatureSpec("paper", ("decoder0",), 0.0)


def spectrum_of(rows: np.ndarray) -> LayerSpectrum:
    return LayerSpectrum(np.linalg.svd(rows, compute_uv=False), len(rows), rows.mean(axis=0))


def rows(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(200, 5)) * [9.0, 4.0, 3.0, 1.0, 0.5]


def test_the_paper_signature_is_the_logarithm_scaled_to_unit_length() -> None:
    values = np.array([np.e**3, np.e**2, np.e])
    expected = np.array([3.0, 2.0, 1.0]) / np.sqrt(14.0)
    np.testing.assert_allclose(PAPER.vector(LayerSpectrum(values, 10, np.zeros(3))), expected)
    assert np.linalg.norm(PAPER.vector(spectrum_of(rows()))) == pytest.approx(1.0)


def test_the_multilayer_signature_is_the_logarithm_of_the_root_mean_square() -> None:
    spectrum = LayerSpectrum(np.array([20.0, 10.0]), 100, np.zeros(2))
    np.testing.assert_allclose(MULTILAYER.vector(spectrum), np.log([2.0, 1.0]))


def test_an_image_twice_as_large_with_the_same_voxels_twice_has_the_same_multilayer_signature() -> None:
    once, twice = rows(), np.concatenate([rows(), rows()])
    np.testing.assert_allclose(MULTILAYER.vector(spectrum_of(twice)), MULTILAYER.vector(spectrum_of(once)))
    # The baseline does depend on the size of the image: that is why it is only a baseline.
    assert not np.allclose(PAPER.vector(spectrum_of(twice)), PAPER.vector(spectrum_of(once)), atol=1e-3)


def test_the_order_of_voxels_does_not_count() -> None:
    shuffled = np.random.default_rng(3).permutation(rows())
    for spec in (MULTILAYER, PAPER):
        np.testing.assert_allclose(spec.vector(spectrum_of(shuffled)), spec.vector(spectrum_of(rows())))


def test_brighter_features_shift_the_multilayer_signature_by_a_constant() -> None:
    difference = MULTILAYER.vector(spectrum_of(3 * rows())) - MULTILAYER.vector(spectrum_of(rows()))
    np.testing.assert_allclose(difference, np.log(3.0))


def test_values_below_the_relative_floor_are_raised_to_it() -> None:
    spectrum = LayerSpectrum(np.array([5.0, 5.0 * MULTILAYER_FLOOR / 7, 0.0]), 1, np.zeros(3))
    np.testing.assert_allclose(MULTILAYER.vector(spectrum), np.log([5.0, *[5.0 * MULTILAYER_FLOOR] * 2]))


@pytest.mark.parametrize("spec", [MULTILAYER, PAPER], ids=["multilayer", "paper"])
def test_a_vanishing_feature_map_has_a_finite_signature(spec: SignatureSpec) -> None:
    assert np.isfinite(spec.vector(LayerSpectrum(np.zeros(4), 10, np.zeros(4)))).all()


def test_each_layer_has_its_own_vector() -> None:
    spec = SignatureSpec("multilayer", ("a", "b"), 0.0)
    spectra = {"a": spectrum_of(rows(1)), "b": spectrum_of(rows(2)), "c": spectrum_of(rows(3))}
    found = spec.vectors(spectra)
    assert set(found) == {"a", "b"}
    np.testing.assert_array_equal(found["b"], spec.vector(spectra["b"]))


def test_defaults_are_all_layers_or_the_last_one() -> None:
    assert signature_spec(THICK_SLICES, "multilayer").layers == THICK_SLICES.layer_names
    assert signature_spec(THICK_SLICES, "paper").layers == ("decoder0",)
    deep = replace(THICK_SLICES, channels=(4,) * 6, strides=((1, 2, 2),) * 5, kernels=((1, 3, 3),) * 6)
    assert signature_spec(deep, "whitened").layers == ("encoder0", "encoder1", "encoder2", "encoder3")
    assert signature_spec(deep, "composite").layers == signature_spec(deep, "whitened").layers
    assert signature_spec(deep, "whitened", ("decoder0",)).layers == ("decoder0",)
    assert signature_spec(THICK_SLICES, "paper", ("encoder1",)).layers == ("encoder1",)


def test_a_composite_signature_adds_the_statistics_of_the_image_to_the_whitened_blocks() -> None:
    voxels = np.random.default_rng(4).random((6, 9, 10)).astype(np.float32)
    composite, whitened = (SignatureSpec(v, ("a", "b"), 0.0) for v in ("composite", "whitened"))  # type: ignore[arg-type]
    spectra = {"a": spectrum_of(rows(1)), "b": spectrum_of(rows(2))}
    found = composite.vectors({**spectra, **composite.image_part(voxels, planar=False)})
    image = ("image.texture0", "image.texture1", "image.layout", "image.shading")
    assert tuple(found) == composite.blocks == (*whitened.blocks, *image)
    for block, vector in whitened.vectors(spectra).items():
        np.testing.assert_array_equal(found[block], vector)
    for name, values in image_statistics(voxels, planar=False).values.items():
        np.testing.assert_array_equal(found[f"image.{name}"], values)
    assert whitened.image_part(voxels, planar=False) == {}


def test_composite_distances_are_combined_by_the_root_mean_square_and_others_by_the_geometric_mean() -> None:
    distances = np.array([[1.0, 2.0], [7.0, 2.0]])
    composite, whitened = (SignatureSpec(v, ("a",), 0.0) for v in ("composite", "whitened"))  # type: ignore[arg-type]
    assert np.exp(composite.combined(np.log(distances))) == pytest.approx([5.0, 2.0])
    assert np.exp(whitened.combined(np.log(distances))) == pytest.approx([7**0.5, 2.0])


def test_a_composite_signature_may_consist_of_the_image_alone() -> None:
    spec = SignatureSpec("composite", (), 0.0)
    assert spec.blocks == ("image.texture0", "image.texture1", "image.layout", "image.shading")


def test_a_layer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ModelError, match="decoder9"):
        signature_spec(THICK_SLICES, "multilayer", ("decoder0", "decoder9"))


@pytest.mark.parametrize("layers, floor", [((), 0.1), (("a",), -0.1), (("a",), 1.0)])
def test_a_signature_without_layers_or_with_an_impossible_floor_is_refused(
    layers: tuple[str, ...], floor: float
) -> None:
    with pytest.raises(ModelError):
        SignatureSpec("multilayer", layers, floor)


def test_a_signature_looks_at_the_statistics_it_names_and_unknown_ones_are_refused() -> None:
    spec = SignatureSpec("composite", (), 0.0, ("texture1", "layout"))
    voxels = np.random.default_rng(6).random((6, 9, 10)).astype(np.float32)
    assert tuple(spec.vectors(spec.image_part(voxels, planar=False))) == ("image.texture1", "image.layout")
    with pytest.raises(ModelError, match="colour"):
        SignatureSpec("composite", (), 0.0, ("layout", "colour"))
    with pytest.raises(ModelError, match="none"):
        SignatureSpec("composite", ("a",), 0.0, ())
