"""Means over other tasks are not put in one order, and what is no mean over all tasks says so."""

from __future__ import annotations

from typing import Any

from trainer.failure.figures import area_bars
from trainer.failure.wording import FIGURES, ROW_HEADERS, ordered, row_name, row_table


def row(aurc: float, tasks: int, failing: int) -> dict[str, Any]:
    """Figures of which the failure AUROC is defined in ``failing`` of the row's ``tasks``."""
    figures = {name: {"value": aurc, "interval": None, "tasks": tasks} for name in FIGURES}
    return figures | {"failure_auroc": {"value": 0.9, "interval": (0.8, 1.0), "tasks": failing}}


MEANS = {"random_forest": row(0.1, 3, 2), "entropy": row(0.4, 5, 4), "expected_dice": row(0.3, 5, 4)}


def test_a_row_that_is_defined_in_the_easy_tasks_alone_is_not_put_first() -> None:
    assert ordered(MEANS) == ["expected_dice", "entropy", "random_forest"]
    assert row_name(MEANS, "random_forest") == "random forest, five features (in 3 of 5 tasks)"
    assert row_name(MEANS, "entropy") == "mean entropy"
    labels = [text.get_text() for text in area_bars(MEANS).axes[0].get_yticklabels()]
    assert labels == [row_name(MEANS, name) for name in ("random_forest", "entropy", "expected_dice")]


def test_a_figure_that_is_not_defined_in_all_tasks_of_a_row_says_in_how_many() -> None:
    cells = dict(zip(ROW_HEADERS, row_table(MEANS)[0], strict=True))
    assert cells["failure AUROC"] == "0.900 (0.800 to 1.000), in 4 of 5 tasks"
    assert cells["AURC"] == "30.0"


def test_rows_of_one_task_are_put_in_the_order_of_their_aurc() -> None:
    own = {
        name: {figure: {"value": entry["value"], "interval": None} for figure, entry in row.items()}
        for name, row in MEANS.items()
    }
    names = [cells[0] for cells in row_table(own)]
    assert names == ["random forest, five features", "expected Dice, not corrected", "mean entropy"]
