"""Detectors on the output against their definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from Testing.trainer.ood.synthetic_sample import WAYS, sample
from trainer.ood.detector.output_detector import PredictedVolume, disagreement_detectors, output_detectors
from trainer.ood.detector.output_statistics import OutputStatistics
from trainer.ood.detector.sample import Sample


def predicted(output: OutputStatistics, task: str = "a") -> Sample:
    image = sample(0, task)
    return replace(image, attempts=(replace(image.attempts[0], outputs={task: output}),))


def of_volume(foreground: float, task: str = "a") -> Sample:
    return predicted(OutputStatistics(voxels=10_000.0, foreground=foreground), task)


def volume_detector() -> PredictedVolume:
    detector = PredictedVolume()
    small = [of_volume(float(volume)) for volume in range(100, 201, 10)]
    detector.fit([*small, *(of_volume(float(volume), "c") for volume in (5000, 6000))], [])
    return detector


def test_the_median_volume_is_the_least_foreign_and_both_sides_are_alike() -> None:
    detector = volume_detector()
    assert detector.score(of_volume(150)) == pytest.approx(0, abs=1e-12)
    for distance in (10, 25, 50, 60, 150):
        below, above = detector.score(of_volume(150.0 - distance)), detector.score(of_volume(150.0 + distance))
        assert below == pytest.approx(above)
    scores = [detector.score(of_volume(150.0 + distance)) for distance in (0, 10, 20, 30, 40, 50, 60)]
    assert scores == sorted(set(scores))
    assert scores[-1] == 1


def test_a_share_of_the_known_volumes_beyond_gives_the_score() -> None:
    # 3 of 11 are below 125 and 8 above.
    assert volume_detector().score(of_volume(125)) == pytest.approx(1 - 2 * 3 / 11)


def test_volumes_are_compared_within_the_recognised_task() -> None:
    detector = volume_detector()
    assert detector.score(of_volume(5500, "c")) == pytest.approx(0)
    assert detector.score(of_volume(150, "c")) == 1
    assert detector.score(of_volume(150, "b")) == 1


OUTPUT = OutputStatistics(
    voxels=1000,
    foreground=100,
    boundary=40,
    entropy=50,
    entropy_foreground=20,
    entropy_boundary=10,
    doubt=30,
    doubt_foreground=6,
    energy=-8000,
    energy_foreground=-500,
)
MEANS = {
    "entropy, whole image": 0.05,
    "entropy, foreground": 0.2,
    "entropy, boundary": 0.25,
    "MSP, whole image": 0.03,
    "MSP, foreground": 0.06,
    "energy, whole image": -8.0,
    "energy, foreground": -5.0,
}
WITHOUT_FOREGROUND = MEANS | {
    "entropy, foreground": 0.0,
    "entropy, boundary": 0.0,
    "MSP, foreground": 0.0,
    "energy, foreground": -8.0,
}


@pytest.mark.parametrize("name", MEANS)
def test_sums_become_means_over_the_voxels_they_belong_to(name: str) -> None:
    detector = next(detector for detector in output_detectors() if detector.name == name)
    assert detector.score(predicted(OUTPUT)) == pytest.approx(MEANS[name])
    nothing = {"foreground": 0.0, "boundary": 0.0, "entropy_foreground": 0.0, "entropy_boundary": 0.0}
    empty = replace(OUTPUT, **nothing, doubt_foreground=0.0, energy_foreground=0.0)
    assert detector.score(predicted(empty)) == pytest.approx(WITHOUT_FOREGROUND[name])


def test_every_number_of_the_disagreement_is_read_from_its_place() -> None:
    image = replace(sample(0), disagreement={"mc_dropout": np.array([1.0, 2.0, 3.0]), "ensemble": np.arange(4.0, 7.0)})
    scores = {detector.name: detector.score(image) for detector in disagreement_detectors(WAYS)}
    assert scores == {
        "MC dropout, standard deviation": 1,
        "MC dropout, pairwise Dice": 2,
        "MC dropout, entropy": 3,
        "ensemble, standard deviation": 4,
        "ensemble, pairwise Dice": 5,
        "ensemble, entropy": 6,
    }
