"""The one kind of run: train a network on some datasets, from random weights or from another run's, and measure it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.config import config_from_dict
from trainer.data.dataset import read_dataset
from trainer.data.provenance import require_unseen
from trainer.experiment.run import shared_cache
from trainer.multi_task.foreign import relative_scores
from trainer.multi_task.measurement import measure_cases
from trainer.pretraining.finetune import finetune
from trainer.report.run_folder import RunFolder, discard_checkpoints, write_json_file
from trainer.training.training import Budget
from trainer.transfer.design import without_groups

MODEL = "model.mts.safetensors"
COST = "training.json"
"""What a training has cost: a run that failed afterwards, when it was measured, does not train again to know it."""


def train_network(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Train on datasets without their hidden groups, and measure on the groups that are tested.

    Returns:
        ``training``: seconds and steps; ``datasets``: cases by name, see `measure_cases`; ``foreign``: scores of
        foreign images in units of the limit.
    """
    output = folder / MODEL
    seconds = _trained(parameters, folder, output, inputs)
    predictor = Predictor.load(output)
    datasets: dict[str, Any] = {}
    for wanted in parameters["measured"]:
        dataset, groups = read_dataset(Path(wanted["data"])), set(wanted["groups"])
        cases = [case for case in dataset.cases if case.group in groups]
        require_unseen(cases, predictor.manifest)
        datasets[dataset.name] = measure_cases(predictor, dataset, cases, wanted["lesions"])
    scores = relative_scores(predictor, parameters["foreign"]) if datasets else []
    discard_checkpoints(folder)
    return {"training": seconds, "datasets": datasets, "foreign": scores}


def _trained(
    parameters: Mapping[str, Any], folder: Path, output: Path, inputs: Mapping[str, Path]
) -> dict[str, float | None]:
    folders = [
        without_groups(Path(data), groups, folder / f"hidden-{number}.txt")
        for number, (data, groups) in enumerate(zip(parameters["data"], parameters["hidden_groups"], strict=True))
    ]
    run = RunFolder(output, shared_cache(folder))
    before, started_s = _last_step(run), _processor_s()
    finetune(
        next((path / MODEL for path in inputs.values()), None),
        folders,
        output,
        config_from_dict(dict(parameters["training"])),
        Budget(steps=parameters["steps"]),
        strategy=parameters["strategy"],
        resume=True,
        cache=run.cache,
    )
    done = _last_step(run)
    # Of an interrupted run only the rest is measured here; its share of the steps tells the whole.
    share = (done - before) / done if done else 0.0
    spent_s = _processor_s() - started_s
    if not share and (folder / COST).is_file():
        kept: dict[str, float | None] = json.loads((folder / COST).read_text(encoding="utf-8"))
        return kept
    cost = {"steps": float(done), "cpu_s": spent_s / share if share else None}
    write_json_file(folder / COST, cost)
    return cost


def _last_step(run: RunFolder) -> int:
    records = run.records()
    return int(records[-1]["step"]) if records and run.checkpoint.is_file() else 0


def _processor_s() -> float:
    """CPU seconds of this process and of the workers that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
