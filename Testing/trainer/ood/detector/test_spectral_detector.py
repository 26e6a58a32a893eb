"""Spectral detectors against singular values of the feature maps themselves and against the shipped reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from Testing.trainer.ood.synthetic_sample import LAYERS, known, maps, moments, sample
from trainer.ood.detector.sample import Sample
from trainer.ood.detector.spectral_detector import (
    FARTHEST,
    SpectralDetector,
    input_spectrum_control,
    paper_detector,
    spectral_detectors,
)
from trainer.reference.spectral_reference import fit_reference


def published_signature(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    logs = np.log(np.linalg.svd(rows, compute_uv=False))
    return np.asarray(logs / np.linalg.norm(logs))


@pytest.mark.parametrize("layer", ["decoder0", "encoder1"])
def test_the_paper_is_the_nearest_neighbour_of_normalised_log_singular_values(layer: str) -> None:
    detector = paper_detector(layer, "here")
    detector.fit(known(), [])
    for image, rows in ((sample(30, "a"), maps(30, "a")), (sample(31, "a", 1.0), maps(31, "a", 1.0))):
        new = published_signature(rows[layer])
        distances = [
            np.linalg.norm(new - published_signature(maps(seed, task)[layer])) for task in "ab" for seed in range(12)
        ]
        assert detector.score(image) == pytest.approx(min(distances), rel=1e-6)


@pytest.mark.parametrize("place", range(4))
def test_the_paper_comes_with_both_layers_it_names(place: int) -> None:
    detector = spectral_detectors(LAYERS)[place]
    per_task, deepest = divmod(place, 2)
    assert detector.spec.layers == (("decoder0", "encoder1")[deepest],)
    assert detector.spec.variant == "paper"
    assert detector.name.startswith("paper per task" if per_task else "paper,")
    assert detector.name.endswith("deepest" if deepest else "last decoder stage")


def test_whitened_signatures_use_all_layers_or_the_encoder() -> None:
    layers = {detector.name: detector.spec.layers for detector in spectral_detectors(LAYERS)}
    assert layers["whitened, all layers"] == layers["multilayer"] == LAYERS
    assert layers["whitened, encoder only"] == ("encoder0", "encoder1")


@pytest.mark.parametrize("variant", ["paper", "multilayer", "whitened"])
def test_scores_are_those_of_the_shipped_reference(variant: str) -> None:
    spec = SignatureSpec(variant, LAYERS[:1] if variant == "paper" else LAYERS, 1e-4)  # type: ignore[arg-type]
    detector = SpectralDetector("", "", spec)
    detector.fit(known(), [])
    images = [
        ReferenceImage(
            "abc".index(s.task), s.group, held_out, {n: s.attempts[0].layers[n].spectrum() for n in spec.layers}
        )
        for held_out, seeds in ((False, range(12)), (True, range(20, 25)))
        for s in known(seeds)
    ]
    reference = fit_reference(spec, "abc", images)
    for image, among in ((sample(30), ["a", "b"]), (sample(31, "c", 0.4), ["c"])):
        spectra = {name: image.attempts[0].layers[name].spectrum() for name in spec.layers}
        assert detector.score(image) == pytest.approx(reference.judge(spectra, among).score, rel=1e-12)


@pytest.mark.parametrize("place", range(7))
def test_an_image_is_compared_with_tasks_of_its_own_profile_alone(place: int) -> None:
    detector = spectral_detectors(LAYERS)[place]
    detector.fit(known(), [])
    stranger = sample(3, "c")
    disguised = replace(stranger, attempts=(replace(stranger.attempts[0], outputs=sample(0).attempts[0].outputs),))
    assert detector.score(stranger) < 1e-3 < detector.score(disguised)
    unknown = replace(stranger, attempts=(replace(stranger.attempts[0], outputs={}),))
    assert detector.score(unknown) == FARTHEST
    assert detector.score(replace(stranger, attempts=())) == FARTHEST


def thin(of: Sample) -> Sample:
    attempt = of.attempts[0]
    layers = {**attempt.layers, "input": moments(np.ones((9, 3)))}
    return replace(of, attempts=(replace(attempt, layers=layers),))


def test_thin_images_are_farthest_from_the_neighbourhoods_of_thick_ones() -> None:
    control, plain = input_spectrum_control(), input_spectrum_control()
    control.fit([*known(), thin(sample(50))], [])
    plain.fit(known(), [])
    assert control.score(thin(sample(30))) == FARTHEST
    assert control.score(sample(30)) == plain.score(sample(30)) < FARTHEST


def test_one_group_is_not_enough_for_a_task() -> None:
    with pytest.raises(ModelError, match="fewer than two groups"):
        spectral_detectors(LAYERS)[0].fit([sample(0), *known()[12:]], [])
