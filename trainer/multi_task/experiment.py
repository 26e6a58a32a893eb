"""The whole of ``experiment multi-task``: one configuration file in, the matrix and its report out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.experiment.executor import Executor
from trainer.experiment.kept_findings import keep_findings
from trainer.experiment.matrix import Say, run_matrix
from trainer.experiment.run import CACHE, RUNS
from trainer.identity.file_content import MEMORY_NAME, FileContents
from trainer.multi_task.case_picture import FOLDER, draw_cases
from trainer.multi_task.design import Design
from trainer.multi_task.findings import findings
from trainer.multi_task.page import write_page
from trainer.multi_task.settings import MultiTaskPlan
from trainer.transfer.design import require_listable


def run_multi_task(
    plan: MultiTaskPlan, output: Path, executor: Executor, say: Say, command: Sequence[str] = ()
) -> dict[str, Any]:
    """Do what is left of the matrix and write ``metrics.json``, ``report.html`` and the pictures in ``cases``.

    Args:
        plan: from `trainer.multi_task.settings.read_multi_task`.
        output: folder; the runs are in its ``runs``.
        executor: where the runs are done.
        say: takes one line per run.
        command: words of the command line; of paths only the last part is kept.

    Returns:
        The findings, as in ``metrics.json``.

    Raises:
        DatasetError, UsageError: before any training starts.
    """
    try:
        require_listable(output)
        contents = FileContents(output / CACHE / MEMORY_NAME)
        design = Design(plan, contents)
        contents.keep()
        result = run_matrix(design.runs, output / RUNS, executor, say)
    finally:
        executor.stop()
    found = findings(plan, design, result.metrics, result.failures)
    found["cases"], found["picture_failures"] = draw_cases(design, plan.settings, result, output / FOLDER)
    kept = keep_findings(found, result, command, output / "metrics.json")
    write_page(kept, output / "report.html", output / FOLDER)
    return kept
