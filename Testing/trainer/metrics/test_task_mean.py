"""A mean over tasks is one over the same tasks in every round."""

from __future__ import annotations

import numpy as np

from trainer.metrics.task_mean import task_mean


def test_a_task_of_which_a_round_has_nobody_does_not_make_the_mean_one_of_the_other_tasks() -> None:
    easy, hard = np.array([0.2, 0.1, 0.3, 0.2]), np.array([0.8, 0.8, np.nan, 0.8])
    np.testing.assert_allclose(task_mean([easy, hard]), [0.5, 0.45, 0.55, 0.5])


def test_a_task_without_the_figure_does_not_count_in_any_round() -> None:
    # Of two images a correlation is not defined, of the same drawn several times it would be.
    undefined, other = np.array([np.nan, 1.0, 1.0]), np.array([0.2, 0.4, np.nan])
    np.testing.assert_allclose(task_mean([undefined, other]), [0.2, 0.4, 0.2])
    assert np.isnan(task_mean([undefined])).all()
