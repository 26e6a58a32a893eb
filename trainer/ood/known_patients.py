"""The p-value of a finished model on the patients that it has never seen: is it what it says within every task?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import read_datasets
from trainer.data.provenance import unseen
from trainer.ood.p_value import KnownScores, uniformity_of_laws, uniformity_within_tasks
from trainer.report.progress import Progress
from trainer.report.run_folder import write_json_file

COUNTED, BY_LAW = "counted", "law"
"""How p-values come about: counted among those of held-out images, or by the law of the nearest task."""


def measure_p_values(
    predictor: Predictor,
    directories: Sequence[Path],
    output: Path,
    *,
    command: Sequence[str] = (),
    commit: str | None = None,
    seed: int = 0,
    stream: TextIO | None = None,
) -> dict[str, Any]:
    """Score every unseen patient with the check as it ships, and write by task whether p-values are uniform, as JSON.

    Of a model with one limit, the p-values that the file itself gives them would be uniform by construction, for these
    patients calibrate them. There those of a task are counted among the patients of the other tasks, see
    `uniformity_within_tasks`; the scores depend on training images alone. Of a model whose tasks have laws, they are
    those of the verdicts: few numbers of a law come from each patient, and none from patients who are new.

    Args:
        predictor: the model.
        directories: datasets of its tasks.
        output: JSON file to write.
        command: words of the command line; of paths only the last part is kept.
        commit: of the source code.
        seed: of the permutations.
        stream: for progress.

    Raises:
        DatasetError: a dataset is no task of the model, or fewer than two are given.
        ModelError: the model does not say whom it has seen.
    """
    datasets = read_datasets(directories)
    known = {task.name for task in predictor.manifest.tasks}
    foreign = [dataset for dataset in datasets if dataset.name not in known]
    if foreign or len(datasets) < 2:
        alone = "p-values of one task have no other to be counted in"
        raise DatasetError(
            f"the model has no task {foreign[0].name}" if foreign else alone,
            file=foreign[0].directory if foreign else None,
            remedy="Give two or more of the datasets that the model was trained on",
        )
    cases = [(dataset.name, case) for dataset in datasets for case in unseen(dataset, predictor.manifest)]
    progress = Progress(max(1, len(cases)), "checking", stream)
    verdicts: list[Verdict] = []
    for _, case in cases:
        verdicts.append(predictor.check(case.read_image()))
        release_freed_memory()
        progress.update(len(verdicts))
    is_counted = predictor.manifest.ood.limits is None
    names, groups = tuple(name for name, _ in cases), tuple(case.group for _, case in cases)
    figures = {
        "model": predictor.model.digest,
        "name": predictor.manifest.name,
        "command": [Path(word).name for word in command],
        "commit": commit,
        "known_images": len(cases),
        "rule": COUNTED if is_counted else BY_LAW,
        "p_value_within_tasks": _uniformity(verdicts, names, groups, is_counted, seed),
    }
    write_json_file(output, figures)
    return figures


def _uniformity(
    verdicts: Sequence[Verdict], names: tuple[str, ...], groups: tuple[str, ...], is_counted: bool, seed: int
) -> dict[str, dict[str, Any]]:
    """By task, of the p-values of these images."""
    if not is_counted:
        return uniformity_of_laws(np.array([verdict.p_value for verdict in verdicts]), names, groups)
    scored = KnownScores(np.log([verdict.score for verdict in verdicts]), names, groups)
    return uniformity_within_tasks(scored, scored, np.random.default_rng(seed))
