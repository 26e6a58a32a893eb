"""Limits of tasks keep their promise on new patients, however few are known: closed forms and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from MultiTaskSegLib.runtime.ood.score_law import TaskLimits
from trainer.reference.law_fitting import PRIOR_PATIENTS, TAIL_SHARE, false_alarms, fit_limits
from trainer.reference.left_out_score import LeftOutScores


def scored(*tasks: np.ndarray, images: int = 1) -> LeftOutScores:
    """Logarithms by task, of patients with so many images each."""
    logs = np.concatenate(tasks)
    of_task = np.repeat(np.arange(len(tasks)), [len(task) for task in tasks])
    groups = tuple(f"p{n // images}" for n in range(len(logs)))
    return LeftOutScores(logs, of_task, groups, np.zeros(len(logs), dtype=bool))


def limit_logs(limits: TaskLimits) -> np.ndarray:
    return np.log([limits.limit(task) for task in range(len(limits.laws))])


def test_of_one_task_the_limit_is_the_textbook_s_prediction_interval() -> None:
    logs = np.random.default_rng(0).normal(0.1, 0.2, 12)
    factor = stats.t.ppf(0.975, 11) * np.sqrt(1 + 1 / 12)
    assert limit_logs(fit_limits(scored(logs), 1))[0] == pytest.approx(logs.mean() + factor * logs.std(ddof=1))
    assert TAIL_SHARE == 0.025


@pytest.mark.parametrize("patients", [5, 10, 20, 50])
def test_of_one_task_the_share_of_new_patients_beyond_the_limit_is_what_it_says(patients: int) -> None:
    rng = np.random.default_rng(patients)
    rounds = 1500
    known, new = rng.normal(0.1, 0.2, (rounds, patients)), rng.normal(0.1, 0.2, rounds)
    beyond = [log > limit_logs(fit_limits(scored(own), 1))[0] for own, log in zip(known, new, strict=True)]
    # 2.5 %, give or take three standard errors.
    assert abs(np.mean(beyond) - 0.025) < 3 * np.sqrt(0.025 * 0.975 / rounds)


@pytest.mark.parametrize("patients", [5, 10, 20, 50])
@pytest.mark.parametrize("deviations", [(0.2, 0.2, 0.2), (0.1, 0.2, 0.25)], ids=["alike", "different"])
def test_of_several_tasks_new_patients_are_flagged_as_often_as_said_on_average(
    patients: int, deviations: tuple[float, ...]
) -> None:
    """Tasks differ in their middle by a tenth, and in their spread; the first one has 100 patients."""
    rng = np.random.default_rng(patients)
    beyond = []
    for _ in range(300):
        middles = rng.normal(0.1, 0.1, 3)
        sizes = (100, patients, patients)
        spreads = rng.permutation(deviations)
        own = [rng.normal(m, d, n) for m, d, n in zip(middles, spreads, sizes, strict=True)]
        new = rng.normal(middles, spreads)
        beyond.append((new > limit_logs(fit_limits(scored(*own), 3)))[1:])
    assert 0.005 < np.mean(beyond) < 0.05


def test_plain_deviations_would_flag_new_patients_of_small_tasks_far_more_often() -> None:
    """What the limits are there for: the mean and deviation of five patients taken for the true ones."""
    rng = np.random.default_rng(0)
    known, new = rng.normal(size=(4000, 5)), rng.normal(size=4000)
    plain = known.mean(axis=1) + 1.96 * known.std(axis=1)
    assert np.mean(new > plain) > 3 * TAIL_SHARE


def test_the_fewer_patients_a_task_has_the_wider_its_limit() -> None:
    pattern = stats.norm.ppf((np.arange(8) + 0.5) / 8)
    found = [limit_logs(fit_limits(scored(np.tile(pattern, count)), 1))[0] for count in (1, 3, 10)]
    assert found[0] > found[1] > found[2] > 1.8


def test_other_tasks_count_as_fifty_patients_at_most_and_as_no_more_than_they_have() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=10), rng.normal(size=1000)
    laws = fit_limits(scored(few, many), 2).laws
    assert laws[0].degrees == pytest.approx(PRIOR_PATIENTS - 1 + 9) == pytest.approx(58)
    assert laws[1].degrees == pytest.approx(10 - 1 + 999)
    assert (laws[0].patients, laws[1].patients) == (10, 1000)
    # Conjugate normal sample: middles weighted by patients.
    assert laws[0].location == pytest.approx((50 * many.mean() + 10 * few.mean()) / 60)
    squares = 49 * many.var(ddof=1) + 9 * few.var(ddof=1) + 50 * 10 / 60 * (few.mean() - many.mean()) ** 2
    assert laws[0].scale == pytest.approx(np.sqrt(squares / 58 * (1 + 1 / 60)))


def test_many_patients_of_its_own_outweigh_other_tasks() -> None:
    rng = np.random.default_rng(0)
    tight, wide = rng.normal(0, 0.1, 5000), rng.normal(1, 1.0, 5000)
    assert limit_logs(fit_limits(scored(tight, wide), 2))[0] < 0.4
    assert limit_logs(fit_limits(scored(tight[:10], wide), 2))[0] > 1.0


def test_images_of_a_patient_count_once() -> None:
    logs = np.random.default_rng(0).normal(size=12)
    once, thrice = (fit_limits(scored(np.repeat(logs, n), images=n), 1) for n in (1, 3))
    np.testing.assert_allclose(limit_logs(thrice), limit_logs(once))
    assert thrice.laws[0].patients == 12


def test_equal_scores_leave_room_and_few_degrees_are_bounded() -> None:
    law = fit_limits(scored(np.zeros(2)), 1).laws[0]
    assert law.scale == pytest.approx(0.02 * np.sqrt(1.5))
    assert law.degrees == 3.0


def test_false_alarms_are_judged_by_limits_that_the_patient_has_no_part_in() -> None:
    """One patient, ever farther out: with him, the limit would follow."""
    logs = np.concatenate([np.linspace(-0.1, 0.1, 6), [100.0, 100.0]])
    scores = LeftOutScores(logs, np.zeros(8, dtype=np.int64), (*"abcdef", "x", "x"), np.zeros(8, dtype=bool))
    assert np.exp(100.0) < fit_limits(scores, 1).limit(0)
    assert false_alarms(scores, 1).tolist() == [False] * 6 + [True] * 2


def test_a_task_of_one_patient_is_judged_by_what_other_tasks_tell_when_he_is_left_out() -> None:
    rng = np.random.default_rng(0)
    scores = scored(rng.normal(0, 0.1, 30), rng.normal(0, 0.1, 30), np.array([0.05]), np.array([9.0]))
    assert false_alarms(scores, 4)[-2:].tolist() == [False, True]


def test_a_single_patient_of_a_single_task_has_a_law_with_room() -> None:
    law = fit_limits(scored(np.array([0.3])), 1).laws[0]
    assert (law.location, law.degrees) == (pytest.approx(0.3), 3.0)
    assert law.scale == pytest.approx(0.2 * np.sqrt(2))


@pytest.mark.parametrize("tasks", [1, 2])
def test_where_nobody_else_is_known_a_patient_is_judged_by_what_is_common(tasks: int) -> None:
    assert false_alarms(scored(*np.zeros((tasks, 1))), tasks).tolist() == [False] * tasks
    assert false_alarms(scored(*np.full((tasks, 1), 9.0)), 1 if tasks == 1 else 2).tolist() == [tasks == 1] * tasks
