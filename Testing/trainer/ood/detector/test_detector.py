"""What holds for every detector."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from Testing.trainer.ood.synthetic_sample import LAYERS, WAYS, features, known, moments, outputs, sample
from trainer.ood.detector.detector import Detector, detectors, ways_of
from trainer.ood.detector.features import ImageFeatures
from trainer.ood.detector.sample import Sample

NAMES = [detector.name for detector in detectors(LAYERS, WAYS)]
BLIND_TO_FEATURES = ("entropy", "MSP", "energy", "predicted volume", "MC dropout", "ensemble", "ViM", "control: size")


def named(name: str) -> Detector:
    return next(detector for detector in detectors(LAYERS, WAYS) if detector.name == name)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Detector]:
    all_of_them = detectors(LAYERS, WAYS)
    for detector in all_of_them:
        detector.fit(known(), known(range(20, 24)))
    return {detector.name: detector for detector in all_of_them}


def with_features(of: Sample, **changes: object) -> Sample:
    return replace(of, attempts=tuple(replace(attempt, **changes) for attempt in of.attempts))


def one_voxel(attempt: ImageFeatures) -> ImageFeatures:
    layers = {name: moments(np.ones((1, len(layer.sums)))) for name, layer in attempt.layers.items()}
    single = {name: outputs(0.0, 0.1, 1.0) for name in attempt.outputs}
    return replace(attempt, layers=layers, outputs=single, histogram=np.eye(150)[7])


def odd_samples() -> dict[str, Sample]:
    plain = sample(30)
    attempt = plain.attempts[0]
    flat = {name: moments(np.zeros((5, len(layer.sums)))) for name, layer in attempt.layers.items()}
    thin = {**attempt.layers, "input": moments(np.ones((9, 3)))}
    return {
        "empty foreground": with_features(plain, outputs={"a": outputs(0.0), "b": outputs(0.0)}),
        "all foreground": with_features(plain, outputs={"a": outputs(1000.0), "b": outputs(1000.0)}),
        "one voxel": replace(plain, attempts=(one_voxel(attempt),)),
        "features are 0": with_features(plain, layers=flat, pooled=np.zeros(24, dtype=np.float32)),
        "thin": with_features(plain, layers=thin),
        "huge numbers": with_features(plain, pooled=np.full(24, 1e30, dtype=np.float32)),
        "nothing within the range": with_features(plain, histogram=np.zeros(150)),
    }


def test_names_are_unique_and_sources_are_given() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 30
    assert all(detector.source for detector in detectors(LAYERS, WAYS))


def test_detectors_of_absent_ways_are_left_out() -> None:
    without = {detector.name for detector in detectors(LAYERS)}
    assert set(NAMES) - without == {name for name in NAMES if name.startswith(("MC dropout", "ensemble"))}
    assert len(set(NAMES) - without) == 6
    only = {detector.name for detector in detectors(LAYERS, ["ensemble"])} - without
    assert only == {name for name in NAMES if name.startswith("ensemble")}


def test_ways_are_those_that_all_samples_have() -> None:
    partly = replace(sample(1), disagreement={"ensemble": np.zeros(3), "other": np.zeros(3)})
    assert ways_of([sample(0), partly]) == ("ensemble",)
    assert ways_of([sample(0)]) == WAYS
    assert ways_of([]) == ()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("odd", odd_samples())
def test_odd_images_get_finite_scores(name: str, odd: str, fitted: dict[str, Detector]) -> None:
    assert np.isfinite(fitted[name].score(odd_samples()[odd]))


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"dataset classifier"}))
def test_an_obviously_foreign_image_scores_above_all_known_ones(name: str, fitted: dict[str, Detector]) -> None:
    scores = [fitted[name].score(image) for image in known(range(40, 45))]
    if name == "predicted volume":
        assert fitted[name].score(sample(50, "a", 1.0)) == 1.0 > np.median(scores)
    else:
        assert fitted[name].score(sample(50, "a", 1.0)) > max(scores)


@pytest.mark.parametrize("name", NAMES)
def test_held_out_images_do_not_change_scores(name: str, fitted: dict[str, Detector]) -> None:
    other = named(name)
    other.fit(known(), [])
    foreign = named(name)
    foreign.fit(known(), [sample(seed, "a", 1.0) for seed in range(3)])
    for image in (sample(30), sample(31, "c"), sample(32, "b", 1.0)):
        assert other.score(image) == foreign.score(image) == fitted[name].score(image)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(BLIND_TO_FEATURES)])
def test_a_second_profile_never_raises_the_score(name: str, fitted: dict[str, Detector]) -> None:
    for image in (sample(30), sample(31, "a", 1.0)):
        second = features(31, "c", 0.5)
        both = replace(image, attempts=(*image.attempts, second))
        alone = replace(image, attempts=(second,), recognised="c")
        expected = min(fitted[name].score(image), fitted[name].score(alone))
        assert fitted[name].score(both) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(BLIND_TO_FEATURES[:-2])])
def test_output_detectors_look_at_the_recognised_task_alone(name: str, fitted: dict[str, Detector]) -> None:
    image = sample(30)
    attempt = image.attempts[0]
    spoilt = replace(attempt, outputs={**attempt.outputs, "b": outputs(900.0, 0.9)})
    changed = replace(image, attempts=(features(3, "c", 1.0), spoilt))
    assert fitted[name].score(changed) == fitted[name].score(image)


@pytest.mark.parametrize("name", NAMES)
def test_scores_do_not_depend_on_the_order_of_the_training_images(name: str, fitted: dict[str, Detector]) -> None:
    other = named(name)
    other.fit(known()[::-1], [])
    for image in (sample(30), sample(31, "c", 0.3)):
        assert other.score(image) == pytest.approx(fitted[name].score(image), rel=1e-3)
