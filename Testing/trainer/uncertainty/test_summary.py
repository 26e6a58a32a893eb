"""Figures of tasks from the sums of their cases."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from trainer.calibration.scaling import Scaling
from trainer.uncertainty.case_statistics import CALIBRATION_REGIONS, CaseStatistics
from trainer.uncertainty.error_detection import BINS as UNCERTAINTY_BINS
from trainer.uncertainty.findings import BEST_FORM, SHIPPED, Measured, TaskMeasured, findings
from trainer.uncertainty.reliability import BINS
from trainer.uncertainty.summary import TaskCases, calibration_figures, mean_over_tasks, patient_weights

PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
LABELS = (LabelInfo(1, "a", "a", (1, 2, 3), ""), LabelInfo(2, "b", "b", (1, 2, 3), ""))
NAN = float("nan")


def case(gap: float, voxels: float, segments: list[list[float]] | None = None) -> CaseStatistics:
    """100 voxels of probability 0.25, whose observed share is ``gap`` larger, in a region of ``voxels``."""
    regions = len(CALIBRATION_REGIONS)
    reliability = np.zeros((1, regions, 3, BINS))
    reliability[..., 2] = [100, 25, 100 * (0.25 + gap)]
    errors = np.zeros((1, 2, 2, UNCERTAINTY_BINS))
    errors[:, :, 0, 10], errors[:, :, 1, 20] = 90, 10
    table = np.array([segments or [[0.8, 0.7, 0.9, 50, 60], [0.5, 0.6, 0.7, 20, 25]]])
    return CaseStatistics(reliability, np.full((1, regions, 2), [voxels, 10.0]), errors, table, 2.0)


def cases(*members: CaseStatistics, groups: tuple[str, ...] | None = None) -> TaskCases:
    owners = groups or tuple(str(number) for number in range(len(members)))
    return TaskCases(owners, members, patient_weights({"a": owners}, seed=1, rounds=50)["a"])


def test_the_error_of_whole_images_is_relative_to_all_voxels_and_that_of_rings_to_voxels_in_bins() -> None:
    figures = calibration_figures(cases(case(0.2, 1000.0), case(0.2, 1000.0)), 0)
    assert figures["whole_ece"][0] == pytest.approx(0.2 * 100 / 1000)
    assert figures["ring_ece"][0] == pytest.approx(0.2)
    assert figures["whole_ece_mean_of_cases"][0] == pytest.approx(0.2 * 100 / 1000)
    assert figures["whole_brier"][0] == pytest.approx(10 / 1000)


def test_errors_in_opposite_directions_cancel_over_cases_but_not_in_their_mean() -> None:
    figures = calibration_figures(cases(case(0.1, 1000.0), case(-0.1, 1000.0)), 0)
    assert figures["ring_ece"][0] == pytest.approx(0.0)
    assert figures["ring_ece_mean_of_cases"][0] == pytest.approx(0.1)


def test_a_region_without_voxels_has_no_figures() -> None:
    assert "ring_ece" not in calibration_figures(cases(case(0.2, 0.0)), 0)


def test_tasks_without_a_figure_do_not_count_in_the_mean() -> None:
    found = mean_over_tasks([{"a": np.array([1.0, NAN])}, {"a": np.array([3.0, NAN]), "b": np.array([2.0, 4.0])}])
    np.testing.assert_array_equal(found["a"], [2.0, NAN])
    np.testing.assert_array_equal(found["b"], [2.0, 4.0])


def measured(*members: CaseStatistics) -> Measured:
    task = TaskInfo("Dataset001_A", "T1", "head", LABELS, PROFILE, 0, 1.0, "none", 1, 1)
    count = len(members)
    entry = TaskMeasured(
        task, {SHIPPED: cases(*members)}, {SHIPPED: (BEST_FORM,)}, {BEST_FORM: [Scaling()] * count}, {SHIPPED: 1}
    )
    return Measured((entry,), (SHIPPED,))


def test_missed_structures_are_those_that_are_there_and_of_which_nothing_was_found() -> None:
    absent, missed = [NAN, NAN, NAN, 0, 0], [NAN, 0.0, NAN, 0, 30]
    found = findings(measured(case(0.1, 1000.0, [absent, missed]), case(0.1, 1000.0)))
    segments = found["tasks"]["Dataset001_A"]["segments"]
    assert segments["missed"] == 1
    assert segments["predicted_dice"] == [0.8, 0.5]


def test_the_choice_is_the_best_figure_per_second() -> None:
    found = findings(measured(case(0.1, 1000.0), case(0.1, 1000.0)))
    # Wrong voxels are always the more uncertain ones, and a case takes two seconds.
    assert found["choice"] == {"auroc_beyond_chance_per_second": {SHIPPED: 0.25}, "best": SHIPPED}
