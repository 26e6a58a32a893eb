"""The experiment ``calibration``: are probabilities right, and is uncertainty worth anything, on unseen patients?"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import scipy
import sklearn
import torch

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.calibration.scaling import FORMS, Scaling, cross_fitted
from trainer.data.dataset import Dataset, datasets_with_masks
from trainer.data.provenance import unseen
from trainer.layout.case import Case
from trainer.report.origin import machine_facts
from trainer.report.progress import Progress
from trainer.report.run_folder import write_json_file
from trainer.report.source_commit import source_commit
from trainer.uncertainty.case_store import CaseStore
from trainer.uncertainty.estimator import Ensemble, Estimator, McDropout, MirrorTta, SinglePass, mirrored_tasks
from trainer.uncertainty.findings import BEST_FORM, SHIPPED, Measured, TaskMeasured, findings
from trainer.uncertainty.page import write_page
from trainer.uncertainty.summary import Floats, TaskCases, patient_weights

SCHEMA = "multitaskseg-calibration/1"


@dataclass(frozen=True)
class CalibrationOptions:
    """What to measure.

    Attributes:
        model: model file.
        data: dataset folders, one per task to measure.
        ensemble: further model files of the same tasks.
        passes: of Monte Carlo dropout.
        dropout_rate: share of activations dropped.
        mirror: tasks to mirror besides those that the training mirrored.
        seed: of dropout and of the patients drawn.
        rounds: in which patients are drawn.
    """

    model: Path
    data: tuple[Path, ...]
    ensemble: tuple[Path, ...] = ()
    passes: int = 10
    dropout_rate: float = 0.1
    mirror: tuple[str, ...] = ()
    seed: int = 0
    rounds: int = 1000

    def arguments(self) -> dict[str, Any]:
        """As plain values. Only the names of files: where they lay is nobody's business."""
        names = {key: [Path(path).name for path in getattr(self, key)] for key in ("data", "ensemble")}
        return asdict(self) | {"model": Path(self.model).name, "mirror": list(self.mirror)} | names

    def command(self) -> str:
        """The command line that repeats the experiment, in a folder with these files."""
        values = self.arguments()
        parts = ["python -m trainer experiment calibration", f"-m {values['model']}", "--data", *values["data"]]
        for key in ("ensemble", "mirror"):
            parts += [f"--{key}", *values[key]] if values[key] else []
        return " ".join([*parts, f"--passes {self.passes} --dropout-rate {self.dropout_rate} --seed {self.seed}"])


def run_calibration(options: CalibrationOptions, output: Path, stream: TextIO | None = None) -> dict[str, Any]:
    """Measure a model on held-out cases; write ``metrics.json`` and ``report.html`` to ``output``.

    Every temperature is fitted on other patients than those it is judged on. Cases that are measured already are not
    measured again.

    Args:
        options: what to measure.
        output: folder; also keeps what is needed to go on after an interruption.
        stream: for progress; standard error by default.

    Raises:
        DatasetError: a dataset is not a task of the model, or no case of it was held out.
    """
    predictor = Predictor.load(options.model)
    members = [Predictor.load(path) for path in options.ensemble]
    datasets = datasets_with_masks(options.data)
    chosen = [(_task(predictor, d), usable_cases(d, [predictor, *members])) for d in datasets]
    every = make_estimators(options, predictor, members)
    # What applies to no task would only repeat the single pass under another name.
    estimators = tuple(e for e in every if any(e.passes(task) for task, _ in chosen))
    store = CaseStore(output, {dataset.name: dataset.labels for dataset in datasets})
    work = [(e, cases) for task, cases in chosen for e in estimators if e.passes(task)]
    progress = Progress(2 * sum(len(cases) for _, cases in work), "measuring", stream)
    steps = _Steps(progress)
    groups = {task.name: [case.group for case in cases] for task, cases in chosen}
    weights = patient_weights(groups, options.seed, options.rounds)
    measured = tuple(_measure_task(store, estimators, *pair, steps, weights[pair[0].name]) for pair in chosen)
    metrics = {
        "schema": SCHEMA,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": options.command(),
        "arguments": options.arguments(),
        "model": _identity(predictor),
        "ensemble": [_identity(member) for member in members],
        "commit": source_commit(),
        "machine": machine_facts(0),
        "versions": _versions(),
        **findings(Measured(measured, tuple(e.name for e in estimators))),
    }
    write_json_file(output / "metrics.json", metrics)
    write_page(metrics, output / "report.html")
    store.remove_maps()
    return metrics


def make_estimators(
    options: CalibrationOptions, predictor: Predictor, members: Sequence[Predictor]
) -> tuple[Estimator, ...]:
    """The estimators to compare; the one that ships comes first."""
    estimators: list[Estimator] = [
        SinglePass(predictor),
        MirrorTta(predictor, mirrored_tasks(predictor, options.mirror)),
        McDropout(predictor, options.passes, options.dropout_rate, options.seed),
    ]
    return (*estimators, Ensemble([predictor, *members])) if members else tuple(estimators)


def usable_cases(dataset: Dataset, predictors: Sequence[Predictor]) -> tuple[Case, ...]:
    """Cases that none of the models was trained on.

    Raises:
        DatasetError: there is none.
    """
    sets = [{case.name for case in unseen(dataset, predictor.manifest)} for predictor in predictors]
    common = set.intersection(*sets)
    if not common:
        raise DatasetError("no case was held out from all models", file=dataset.directory, remedy="Leave it out")
    return tuple(case for case in dataset.cases if case.name in common)


def _measure_task(
    store: CaseStore,
    estimators: Sequence[Estimator],
    task: TaskInfo,
    cases: Sequence[Case],
    steps: _Steps,
    weights: Floats,
) -> TaskMeasured:
    groups = tuple(case.group for case in cases)
    scalings: dict[str, dict[str, list[Scaling]]] = {}
    applicable = [e for e in estimators if e.passes(task)]
    for estimator in applicable:
        voxels = [steps.after(store.fit_voxels(estimator, case, task)) for case in cases]
        forms = list(FORMS) if estimator.name == SHIPPED else [BEST_FORM]
        scalings[estimator.name] = {
            "uncalibrated": [Scaling()] * len(cases),
            **({"shipped": [_shipped(task)] * len(cases)} if estimator.name == SHIPPED else {}),
            **{form: cross_fitted(voxels, groups, FORMS[form]) for form in forms},
        }
    results: dict[str, TaskCases] = {}
    for estimator in applicable:
        by_form = list(zip(*scalings[estimator.name].values(), strict=True))
        ideal = estimator.name == SHIPPED
        rows = [
            steps.after(store.statistics(estimator, case, task, forms_of_case, ideal))
            for case, forms_of_case in zip(cases, by_form, strict=True)
        ]
        results[estimator.name] = TaskCases(groups, tuple(rows), weights)
    names = {name: tuple(forms) for name, forms in scalings.items()}
    passes = {estimator.name: estimator.passes(task) for estimator in applicable}
    return TaskMeasured(task, results, names, scalings[SHIPPED], passes)


class _Steps:
    """Counts finished work."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._done = progress, 0

    def after(self, result: Any) -> Any:
        """Pass a result on and count it."""
        self._done += 1
        self._progress.update(self._done)
        return result


def _task(predictor: Predictor, dataset: Dataset) -> TaskInfo:
    try:
        return predictor.manifest.task(dataset.name)
    except KeyError:
        raise DatasetError(
            f"the model has no task {dataset.name!r}", file=dataset.directory, remedy="Give its own datasets"
        ) from None


def _shipped(task: TaskInfo) -> Scaling:
    return Scaling(task.temperature, task.surface_temperature)


def _identity(predictor: Predictor) -> dict[str, str]:
    return {"name": predictor.manifest.name, "sha256": predictor.model.digest}


def _versions() -> Mapping[str, str]:
    return {
        "multitaskseg": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }
