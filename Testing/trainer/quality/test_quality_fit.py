"""Images whose Dice follows a known law: what is learnt must be the law, and the bound must hold for new patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.model.manifest_bounds import check_bounds
from MultiTaskSegLib.runtime.model.structure import to_plain
from MultiTaskSegLib.runtime.quality.image_quality import image_quality
from MultiTaskSegLib.runtime.quality.quality_info import FEWEST_PATIENTS, TaskQuality
from MultiTaskSegLib.runtime.quality.trait_names import TRAITS
from trainer.quality.quality_fit import FEWEST_SPOILT, fit_quality
from trainer.quality.quality_sample import QualitySample


def sample(group: str, dice: float, expected: float, *, is_clean: bool = True, **traits: float) -> QualitySample:
    """An image of one structure; traits that are not given are 0.5."""
    every = dict.fromkeys(TRAITS, 0.5) | {"expected_dice": expected, "expected_dice_lowest": expected} | traits
    return QualitySample(group, {"part": dice}, {"part": expected}, every, is_clean)


def clean(count: int, seed: int = 0, error: float = 0.05) -> list[QualitySample]:
    """One image of each patient; the expected Dice is right but for a random error."""
    rng = np.random.default_rng(seed)
    dice = rng.uniform(0.7, 0.9, count)
    return [
        sample(f"p{seed}_{number}", own, own + off, log_score=rng.normal(0.5, 0.5))
        for number, (own, off) in enumerate(zip(dice, rng.normal(0, error, count), strict=True))
    ]


def misled(count: int, seed: int = 0, patients: int = 20, lost: float = 0.2) -> list[QualitySample]:
    """Spoilt images of whose Dice the expected one knows nothing: the farther the score is beyond those of clean ones,
    the more is lost."""
    rng = np.random.default_rng(1)
    return [
        sample(f"p{seed}_{number % patients}", 0.85 - lost * beyond, 0.85, is_clean=False, log_score=1.5 + beyond)
        for number, beyond in enumerate(rng.uniform(0, 2, count))
    ]


def real_and_told(samples: Sequence[QualitySample], known: TaskQuality) -> tuple[np.ndarray, np.ndarray]:
    told = [image_quality({1: own.expected["part"]}, own.traits, known).dice[1] for own in samples]
    return np.array([own.dice["part"] for own in samples]), np.array(told)


def test_what_the_expected_dice_does_not_see_is_learnt_from_spoilt_images_for_all_tasks_alike() -> None:
    found = fit_quality([[*clean(20), *misled(60)], [*clean(12, seed=3), *misled(24, seed=3, patients=12)]])
    real, told = real_and_told(misled(40), found.tasks[0])
    assert np.abs(real - told).mean() < 0.4 * np.abs(real - 0.85).mean()
    assert found.tasks[0].weights == found.tasks[1].weights
    assert found.tasks[0].weights[TRAITS.index("log_score")] < 0
    assert all(known.is_possible for known in found.tasks)


def test_a_task_in_which_the_expected_dice_is_nearer_keeps_it() -> None:
    led, robust = [*clean(20), *misled(60)], [*clean(12, seed=3, error=0.0), *misled(24, seed=3, patients=12, lost=0.0)]
    found = fit_quality([led, robust]).tasks
    assert found[0].traits == TRAITS
    assert found[1] == TaskQuality(12, 0.0)
    assert found[0] == fit_quality([led, robust, []]).tasks[0]


def test_whether_a_correction_serves_is_judged_on_patients_it_was_not_fitted_to_and_each_counts_alike() -> None:
    # A patient of many images follows the law of the others; the rest of his task does not.
    many = misled(60, seed=4, patients=1)
    rest = [sample(f"p5_{number}", 0.85, 0.85, is_clean=False, log_score=0.5 + number / 2) for number in range(8)]
    usual = [sample(f"p6_{number}", 0.85, 0.85, log_score=number / 5) for number in range(6)]
    assert fit_quality([[*clean(20), *misled(60)], [*usual, *rest, *many]]).tasks[1].traits == ()
    assert fit_quality([[*clean(20), *misled(60)], [*usual, *rest[:1], *many]]).tasks[1].traits == TRAITS
    # Of a single patient there is nobody to tell what is usual.
    assert fit_quality([[*clean(20), *misled(60)], many]).tasks[1].traits == ()


@pytest.mark.parametrize("names", [("p0_00", "p0_01"), ("p0_00", "p0_9x")])
def test_how_patients_are_called_does_not_decide_whether_a_correction_serves(names: tuple[str, str]) -> None:
    # In the order of their names the latter two are dealt into one fold, without which nothing is known of the task.
    two = [replace(own, group=names[int(own.group[-1])]) for own in misled(60, seed=4, patients=2)]
    two += [sample(name, 0.85, 0.85, log_score=score) for name in names for score in (0.0, 0.5, 1.0)]
    assert fit_quality([[*clean(20), *misled(60)], two]).tasks[1].traits == TRAITS


def test_images_like_the_clean_ones_keep_their_expected_dice_whatever_spoilt_ones_teach() -> None:
    (known,) = fit_quality([[*clean(20), *misled(60)]]).tasks
    usual = {
        name: median + scale for name, median, scale in zip(known.traits, known.medians, known.scales, strict=True)
    }
    assert known.correction(usual) == known.correction({}) == 0
    odd = usual | {"log_score": known.medians[TRAITS.index("log_score")] + 3 * known.scales[TRAITS.index("log_score")]}
    assert known.correction(odd) == pytest.approx(known.intercept + known.weights[TRAITS.index("log_score")])


def test_of_clean_images_alone_nothing_but_the_bound_is_learnt() -> None:
    few = misled(FEWEST_SPOILT - 1)
    for samples in (clean(20), [*clean(20), *few]):
        (known,) = fit_quality([samples]).tasks
        assert (known.traits, known.intercept, known.patients) == ((), 0.0, 20)
        assert known.margin is not None
    (known,) = fit_quality([[*clean(20), *misled(FEWEST_SPOILT)]]).tasks
    assert known.traits == TRAITS


def test_there_is_a_bound_from_nine_patients_on_however_many_images_they_have() -> None:
    enough = clean(FEWEST_PATIENTS)
    assert fit_quality([enough]).tasks[0].margin is not None
    assert fit_quality([enough[1:] * 3]).tasks[0].margin is None
    assert fit_quality([enough[1:] * 3]).tasks[0].patients == FEWEST_PATIENTS - 1


def test_a_patient_of_whom_only_spoilt_images_are_known_does_not_make_a_bound() -> None:
    spoilt = [sample("other", 0.2, 0.2, is_clean=False)] * 30
    assert fit_quality([[*clean(FEWEST_PATIENTS - 1), *spoilt]]).tasks[0].margin is None


def test_the_bound_holds_in_nine_of_ten_new_patients() -> None:
    held = []
    for seed in range(60):
        (known,) = fit_quality([clean(19, seed=seed)]).tasks
        assert known.margin is not None
        real, told = real_and_told(clean(50, seed=1000 + seed), known)
        held.append((real >= told - known.margin).mean())
    assert 0.87 <= np.mean(held) <= 0.97


def test_a_margin_is_never_less_than_nothing() -> None:
    modest = [sample(f"p{number}", 0.9, 0.8) for number in range(12)]
    assert fit_quality([modest]).tasks[0].margin == 0.0


def test_estimates_behind_the_bound_know_nothing_of_their_patient() -> None:
    # One patient is unlike all: a fit that had seen him would foretell him, and the bound would be narrow.
    odd = [sample("odd", 0.1, 0.9, log_score=3.0)] * 5
    samples = [*clean(9, error=0.0), *misled(30), *odd]
    (known,) = fit_quality([samples]).tasks
    assert known.margin is not None
    assert known.margin > 0.2


def test_structures_that_are_nowhere_and_traits_that_are_missing_do_no_harm() -> None:
    nan = float("nan")
    nothing = sample("p0_1", nan, 0.5, is_clean=False, entropy_foreground=nan)
    lost = QualitySample("p0_2", {"part": 0.0}, {"part": None}, dict.fromkeys(TRAITS, nan))
    plain = [*clean(20), *misled(60)]
    (with_both,), (without,) = (fit_quality([own]).tasks for own in ([*plain, nothing, lost], plain))
    assert with_both.is_possible
    assert with_both.weights == pytest.approx(without.weights, abs=0.02)


def test_traits_beyond_all_measure_still_make_what_a_model_file_holds() -> None:
    # One voxel was found in a large image of which the network is nowhere sure.
    odd = [sample(f"odd{number}", 0.0, 0.9, entropy_per_foreground_voxel=5e7) for number in range(20)]
    for samples in ([*clean(20), *misled(30), *odd[:3]], [*misled(30), *odd]):
        found = fit_quality([samples])
        check_bounds({"quality": to_plain(found)})
        assert found.tasks[0].is_possible


def test_patients_in_whose_images_nothing_was_found_are_not_counted_beside_a_bound() -> None:
    nothing = dict.fromkeys(TRAITS, float("nan"))
    lost = [QualitySample(f"lost{number}", {"part": 0.0}, {"part": None}, nothing) for number in range(5)]
    (enough,) = fit_quality([[*clean(FEWEST_PATIENTS), *lost]]).tasks
    assert (enough.patients, enough.margin is None) == (FEWEST_PATIENTS, False)
    (few,) = fit_quality([[*clean(FEWEST_PATIENTS - 1), *lost]]).tasks
    assert (few.patients, few.margin) == (FEWEST_PATIENTS - 1, None)


def test_the_bound_is_that_of_the_correction_that_is_shipped_however_few_spoilt_images_there_are() -> None:
    # Of two patients the score is unusual, and the expected Dice .3 too high; without a patient's spoilt images there
    # are fewer than 20, of which nothing would be learnt.
    rng = np.random.default_rng(2)
    scores = [3.0 if number in (3, 14) else float(rng.uniform(0, 0.2)) for number in range(20)]
    whole = [sample(f"p{n:02}", 0.6 if own > 2 else 0.9, 0.9, log_score=own) for n, own in enumerate(scores)]
    spoilt = [
        sample(f"p{n:02}", 0.6 if own > 2 else 0.9, 0.9, is_clean=False, log_score=own)
        for n, own in enumerate(rng.permutation([0.1, 3.0] * (FEWEST_SPOILT // 2)).tolist())
    ]
    (known,) = fit_quality([[*whole, *spoilt]]).tasks
    assert known.traits == TRAITS
    assert known.margin is not None
    assert known.margin < 0.15
