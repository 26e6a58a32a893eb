"""The explanation of a verdict on numbers that can be worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.ood.explanation import Explanation, block_difference, spectrum_band
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from trainer.reference.spectral_reference import fit_reference

LAYERS = ("encoder0", "encoder1", "encoder2")
PLAIN = SignatureSpec("multilayer", LAYERS, 0.0)
CHANNELS = 6


def spectra(shifts: dict[str, np.ndarray] | None = None, means: dict[str, float] | None = None, jitter: float = 0.0):
    """Spectra whose signature is a common descent plus ``shifts`` by layer."""
    descent = -np.arange(CHANNELS, dtype=np.float64)
    return {
        layer: LayerSpectrum(
            np.exp(descent + jitter + (shifts or {}).get(layer, 0.0)),
            1,
            np.full(CHANNELS, (means or {}).get(layer, 0.0) + jitter),
        )
        for layer in LAYERS
    }


def line_reference(spec: SignatureSpec = PLAIN) -> SpectralReference:
    """Training images of task A at 0, 1, 2 ... and of B far away; held-out ones between and beside."""
    places = [(0, 0.0, False), (0, 1.0, False), (0, 2.0, False), (0, 3.5, True), (0, 1.25, True)]
    places += [(1, 100.0 + p, held) for _, p, held in places]
    images = [ReferenceImage(task, f"p{n}", held, spectra(jitter=p)) for n, (task, p, held) in enumerate(places)]
    return fit_reference(spec, ["A", "B"], images)


def shifted(layer: str, at: slice, by: float) -> dict[str, np.ndarray]:
    shift = np.zeros(CHANNELS)
    shift[at] = by
    return {layer: shift}


@pytest.mark.parametrize("at, where", [(slice(0, 2), "large"), (slice(2, 4), "middle"), (slice(4, 6), "small")])
@pytest.mark.parametrize("layer", LAYERS)
def test_the_layer_and_the_part_of_the_spectrum_that_were_changed_are_named(layer: str, at: slice, where: str) -> None:
    explanation = line_reference().judge(spectra(shifted(layer, at, -4.0))).explanation
    assert explanation is not None
    first = explanation.blocks[0]
    assert (first.layer, first.part, first.where) == (layer, "spectrum", where)
    # Two components by 4 each; known images are one step along all six components apart.
    assert first.ratio == pytest.approx(4 * np.sqrt(2) / np.sqrt(CHANNELS))


def test_changed_means_are_told_from_a_changed_spectrum() -> None:
    spec = SignatureSpec("whitened", LAYERS, 0.0)
    rng = np.random.default_rng(4)

    def drawn(means_by: float = 0.0) -> dict[str, LayerSpectrum]:
        return {
            layer: LayerSpectrum(
                np.exp(rng.normal(size=CHANNELS)), 1, rng.normal(size=CHANNELS) + means_by * (layer == "encoder1")
            )
            for layer in LAYERS
        }

    images = [ReferenceImage(0, f"p{n}", n % 2 == 0, drawn()) for n in range(60)]
    explanation = fit_reference(spec, ["A"], images).judge(drawn(means_by=9.0)).explanation
    assert explanation is not None
    first = explanation.blocks[0]
    assert (first.layer, first.part, first.where) == ("encoder1", "means", "")
    assert "the mean features of encoder1 (middle-sized structures)" in explanation.sentence()
    assert len(explanation.blocks) == 2 * len(LAYERS)


@pytest.mark.parametrize(("place", "nearest"), [(0.3, "A"), (100.3, "B")])
def test_blocks_are_the_terms_of_the_score_in_descending_order(place: float, nearest: str) -> None:
    verdict = line_reference().judge(spectra(shifted("encoder2", slice(0, 6), 7.0), jitter=place))
    assert verdict.nearest_task == nearest
    assert verdict.explanation is not None
    ratios = [block.ratio for block in verdict.explanation.blocks]
    assert ratios == sorted(ratios, reverse=True)
    assert np.exp(np.mean(np.log(ratios))) == pytest.approx(verdict.score)


def test_the_percentage_counts_the_known_images_that_are_nearer() -> None:
    reference = line_reference()
    # Held-out images lie 1.5 and 0.25 steps from the nearest training image, once in each task.
    np.testing.assert_allclose(reference.calibration_scores, [0.25, 0.25, 1.5, 1.5])
    found = {}
    for place in (2.1, 3.0, 9.0):
        explanation = reference.judge(spectra(jitter=place)).explanation
        assert explanation is not None
        found[place] = explanation.percent_of_known_nearer
    assert found == {2.1: 0.0, 3.0: 50.0, 9.0: 100.0}


def test_the_band_holds_percentiles_of_the_nearest_tasks_training_images_and_the_image_itself() -> None:
    verdict = line_reference().judge(spectra(shifted("encoder1", slice(0, 1), 5.0), jitter=100.0))
    assert verdict.nearest_task == "B"
    assert verdict.explanation is not None
    assert [band.layer for band in verdict.explanation.spectra] == list(LAYERS)
    band = verdict.explanation.spectra[1]
    descent = -np.arange(CHANNELS, dtype=np.float64)
    # Training images at 100, 101 and 102: linear percentiles.
    np.testing.assert_allclose(band.low, descent + 100.1)
    np.testing.assert_allclose(band.middle, descent + 101.0)
    np.testing.assert_allclose(band.high, descent + 101.9)
    np.testing.assert_allclose(band.image, descent + 100.0 + np.array([5.0, 0, 0, 0, 0, 0]))


def test_after_a_projection_the_parts_still_add_up_to_the_squared_distance() -> None:
    rng = np.random.default_rng(0)
    difference, projection = rng.normal(size=9), rng.normal(size=(9, 9))
    parts = difference * (projection @ (projection.T @ difference))
    assert parts.sum() == pytest.approx(np.linalg.norm(difference @ projection) ** 2)
    thirds = [parts[:3].sum(), parts[3:6].sum(), parts[6:].sum()]
    block = block_difference("encoder0", "spectrum", 1.0, difference, projection, 2)
    assert block.where == ("large", "middle", "small")[int(np.argmax(thirds))]


def test_a_stretch_of_the_small_values_moves_the_blame_to_them() -> None:
    difference = np.array([1.0, 0.0, 0.1])
    assert block_difference("encoder0", "spectrum", 1.0, difference, None, 0).where == "large"
    assert block_difference("encoder0", "spectrum", 1.0, difference, np.diag([1.0, 1.0, 50.0]), 0).where == "small"


@pytest.mark.parametrize("layer, size", [("encoder0", "fine detail"), ("decoder2", "middle-sized structures"),
                                         ("encoder4", "large structures")])  # fmt: skip
def test_a_layers_level_is_told_in_words(layer: str, size: str) -> None:
    assert block_difference(layer, "means", 1.0, np.zeros(3), None, 4).size == size


def test_a_verdict_with_its_explanation_survives_json() -> None:
    verdict = line_reference().judge(spectra(shifted("encoder0", slice(4, 6), 3.0), jitter=0.4))
    read = Verdict.from_dict(json.loads(json.dumps(verdict.as_dict())))
    assert read == verdict
    assert read.explanation is not None
    assert read.explanation.sentence() == verdict.as_dict()["explanation"]["sentence"]


def test_a_verdict_without_an_explanation_is_read_too() -> None:
    plain = line_reference().judge(spectra()).as_dict()
    del plain["explanation"], plain["rivals"]
    assert Verdict.from_dict(plain).explanation is None
    assert Verdict.from_dict(plain).rivals == ()


def test_the_sentence_names_the_tasks_that_are_about_as_near() -> None:
    verdict = replace(line_reference().judge(spectra()), is_ood=False, rivals=("b", "c"))
    assert verdict.sentence().endswith(", about as near to b, c")
    assert Verdict.from_dict(json.loads(json.dumps(verdict.as_dict()))) == verdict


def test_the_sentence_names_percentage_layer_part_and_ratio() -> None:
    block = block_difference("encoder0", "spectrum", 4.21, np.array([0.0, 0.0, 1.0]), None, 3)
    assert Explanation(97.4, (block,)).sentence() == (
        "97 % of known images are nearer; most different: the small singular values of encoder0 (fine detail), "
        "4.2 times the typical difference"
    )


def test_the_band_of_one_image_is_that_image() -> None:
    band = spectrum_band("encoder0", np.array([2.0, 1.0]), np.array([[3.0, 0.5]]))
    assert band.as_dict() == {
        "layer": "encoder0", "image": [2.0, 1.0], "low": [3.0, 0.5], "middle": [3.0, 0.5], "high": [3.0, 0.5]
    }  # fmt: skip
