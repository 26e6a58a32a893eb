"""Laws of scores against closed forms, and verdicts that follow them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from MultiTaskSegLib.runtime.ood.reference import SpectralReference
from MultiTaskSegLib.runtime.ood.score_law import ScoreLaw, TaskLimits
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from MultiTaskSegLib.runtime.ood.verdict import Verdict

SPEC = SignatureSpec("multilayer", ("only",), 0.0)
TIGHT, WIDE = ScoreLaw(0.0, 0.1, 1e9, 160), ScoreLaw(0.2, 0.3, 11.0, 12)
LIMITS = TaskLimits((TIGHT, WIDE), 0.025)


def reference(limits: TaskLimits | None = LIMITS) -> SpectralReference:
    """Two tasks with one training image each, at 0 and at 100, in units of 1."""
    vectors, scales = {"only": np.array([[0.0], [100.0]])}, {"only": np.ones(2)}
    return SpectralReference(
        SPEC, ["tight", "wide"], vectors, np.arange(2), scales, np.array([1.0, 2.0]), 3.0, limits=limits
    )


def judged(place: float, limits: TaskLimits | None = LIMITS) -> Verdict:
    return reference(limits).judge({"only": LayerSpectrum(np.exp([place]), 1, np.zeros(1))})


def test_with_many_degrees_of_freedom_the_limit_is_the_normal_one() -> None:
    assert TIGHT.limit(0.025) == pytest.approx(np.exp(0.1 * 1.959964), rel=1e-6)
    assert TIGHT.tail(np.exp(0.1 * 1.644854)) == pytest.approx(0.05, rel=1e-5)


@pytest.mark.parametrize("share", [0.5, 0.05, 0.001])
def test_limit_and_tail_undo_each_other(share: float) -> None:
    assert WIDE.tail(WIDE.limit(share)) == pytest.approx(share)
    assert WIDE.limit(share) == pytest.approx(np.exp(0.2 + 0.3 * stats.t.ppf(1 - share, 11)))


def test_a_score_of_nothing_is_in_the_middle_of_no_tail() -> None:
    assert TIGHT.tail(0.0) == 1.0


@pytest.mark.parametrize("task, place, law", [("tight", 0.0, TIGHT), ("wide", 100.0, WIDE)])
def test_an_image_is_foreign_exactly_beyond_the_limit_of_its_nearest_task_and_p_says_the_same(
    task: str, place: float, law: ScoreLaw
) -> None:
    limit = law.limit(0.025)
    for score, is_beyond in ((0.999 * limit, False), (1.001 * limit, True)):
        verdict = judged(place + score)
        assert verdict.nearest_task == task
        assert verdict.is_ood is is_beyond
        assert (verdict.p_value < 0.025) is is_beyond
        assert verdict.p_value == pytest.approx(law.tail(score))
        assert verdict.threshold == pytest.approx(limit)
        assert verdict.explanation
        assert verdict.explanation.percent_of_known_nearer == pytest.approx(100 * (1 - verdict.p_value))


def test_a_verdict_tells_the_limits_of_all_tasks_and_a_report_keeps_them() -> None:
    verdict = judged(1.0)
    assert verdict.limits == pytest.approx({"tight": TIGHT.limit(0.025), "wide": WIDE.limit(0.025)})
    assert verdict.limit_of("wide") == pytest.approx(WIDE.limit(0.025))
    assert Verdict.from_dict(verdict.as_dict()) == verdict


def test_without_laws_one_threshold_and_the_held_out_scores_serve_all_tasks_as_before() -> None:
    verdict = judged(101.5, limits=None)
    assert (verdict.threshold, verdict.p_value, verdict.is_ood) == (3.0, pytest.approx(2 / 3), False)
    assert "limits" not in verdict.as_dict()
    assert verdict.limit_of("tight") == 3.0
