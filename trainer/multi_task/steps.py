"""The kinds of runs: train a network of ours (from random weights or another run's), the published one, or nnU-Net."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.config import config_from_dict, settings_from_dict
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.provenance import require_unseen
from trainer.experiment.run import shared_cache
from trainer.layout.case import Case
from trainer.multi_task.contender import Contender, ShippedContender
from trainer.multi_task.foreign import relative_scores
from trainer.multi_task.measurement import measure_cases
from trainer.nnunet_peer.peer_predictor import PeerPredictor
from trainer.nnunet_peer.peer_training import PREDICTIONS, discard_work, load_manifest, train_peer
from trainer.nnunet_peer.settings import NnunetSettings
from trainer.paper_network.network_file import load_paper_model
from trainer.paper_network.paper_model import train_paper_model
from trainer.paper_network.predictor import PaperPredictor
from trainer.paper_network.settings import PaperSettings
from trainer.pretraining.finetune import finetune
from trainer.report.run_folder import RunFolder, discard_checkpoints, write_json_file
from trainer.training.checkpoint import checkpoint_step
from trainer.training.training import Budget
from trainer.training.training_device import training_device
from trainer.transfer.design import without_groups

MODEL, PUBLISHED, PEER = "model.mts.safetensors", "published.safetensors", "nnunet"
COST = "training.json"
"""What a training has cost: a run that failed afterwards, when it was measured, does not train again to know it."""


def train_network(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Train on datasets without their hidden groups, and measure on the groups that are tested.

    Returns:
        ``training``: seconds and steps; ``datasets``: cases by name, see `measure_cases`; ``foreign``: scores of
        foreign images in units of the limit.
    """
    output = folder / MODEL
    run = RunFolder(output, shared_cache(folder))

    def train() -> None:
        """To the end, or on from a checkpoint."""
        finetune(
            next((path / MODEL for path in inputs.values()), None),
            shown_folders(parameters, folder),
            output,
            config_from_dict(dict(parameters["training"])),
            Budget(steps=parameters["steps"]),
            strategy=parameters["strategy"],
            resume=True,
            cache=run.cache,
        )

    cost = spent(run, folder, train)
    return _measured(ShippedContender(Predictor.load(output)), parameters, folder, cost)


def train_published_network(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """`train_network` for the published network, from random weights."""
    output = folder / PUBLISHED
    run = RunFolder(output, shared_cache(folder))

    def train() -> None:
        """To the end, or on from a checkpoint."""
        train_paper_model(
            shown_folders(parameters, folder),
            output,
            config_from_dict(dict(parameters["training"])),
            settings_from_dict(PaperSettings, dict(parameters["paper"])),
            parameters["steps"],
            cache=run.cache,
        )

    cost = spent(run, folder, train)
    return _measured(PaperPredictor(load_paper_model(output), training_device()), parameters, folder, cost)


def train_peer_network(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """`train_network` for nnU-Net, for as many CPU seconds as the run that it needs has spent; it scores no images.

    Returns:
        As `train_network`; ``training`` is what `train_peer` returns.
    """
    (wanted,), (lender,) = parameters["measured"], inputs.values()
    run = RunFolder(folder / PEER, shared_cache(folder))
    facts = train_peer(
        shown_folders(parameters, folder)[0],
        _tested(wanted)[1],
        run,
        config_from_dict(dict(parameters["training"])),
        settings_from_dict(NnunetSettings, dict(parameters["nnunet"]["settings"])),
        parameters["share"] * _kept_cpu_s(lender),
    )
    measured = _measured(PeerPredictor(load_manifest(run), run.path / PREDICTIONS), parameters, folder, facts)
    discard_work(run)
    return measured


def contender_of(folder: Path) -> Contender:
    """The network that a finished run has left in its folder.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    if (folder / PUBLISHED).is_file():
        return PaperPredictor(load_paper_model(folder / PUBLISHED), training_device())
    return ShippedContender(Predictor.load(folder / MODEL))


def _measured(
    contender: Contender, parameters: Mapping[str, Any], folder: Path, cost: Mapping[str, Any]
) -> dict[str, Any]:
    """Figures of the groups that are tested."""
    datasets: dict[str, Any] = {}
    for wanted in parameters["measured"]:
        dataset, cases = _tested(wanted)
        require_unseen(cases, contender.manifest)
        datasets[dataset.name] = measure_cases(contender, dataset, cases, wanted["lesions"])
    scores = relative_scores(contender, parameters["foreign"]) if datasets else []
    discard_checkpoints(folder)
    return {"training": dict(cost), "datasets": datasets, "foreign": scores}


def _tested(wanted: Mapping[str, Any]) -> tuple[Dataset, list[Case]]:
    """A dataset, and its cases of the groups that are tested."""
    dataset, groups = read_dataset(Path(wanted["data"])), set(wanted["groups"])
    return dataset, [case for case in dataset.cases if case.group in groups]


def _kept_cpu_s(folder: Path) -> float:
    """CPU seconds that the training of a finished run has cost.

    Raises:
        ModelError: nobody knows.
    """
    path = folder / COST
    cpu_s = json.loads(path.read_text(encoding="utf-8"))["cpu_s"] if path.is_file() else None
    if not cpu_s:
        raise ModelError(
            "what the training cost that nnU-Net is to be given the time of is not known",
            file=folder,
            remedy="Remove the run's folder and start again",
        )
    return float(cpu_s)


def shown_folders(parameters: Mapping[str, Any], folder: Path) -> list[Path]:
    """The datasets of a run as views that leave out the groups which it must not see."""
    return [
        without_groups(Path(data), groups, folder / f"hidden-{number}.txt")
        for number, (data, groups) in enumerate(zip(parameters["data"], parameters["hidden_groups"], strict=True))
    ]


def spent(run: RunFolder, folder: Path, train: Callable[[], None]) -> dict[str, float | None]:
    """Train, and say what the whole training has cost: ``steps``, and ``cpu_s`` if that is known.

    Args:
        run: of the training.
        folder: where the cost is kept.
        train: does what is left of it.
    """
    # Not the log's last step: what was done after the last checkpoint is done, and paid for, once more.
    before, started_s, since_s = checkpoint_step(run.checkpoint), _processor_s(), _clock_s()
    train()
    done = checkpoint_step(run.checkpoint)
    spent_s, took_s = _processor_s() - started_s, _clock_s() - since_s
    if done == before and (folder / COST).is_file():
        kept: dict[str, float | None] = json.loads((folder / COST).read_text(encoding="utf-8"))
        return kept
    cost = {"steps": float(done), "cpu_s": _whole_s(run, before, done, spent_s, took_s)}
    write_json_file(folder / COST, cost)
    return cost


def _whole_s(run: RunFolder, before: int, done: int, spent_s: float, took_s: float) -> float | None:
    """CPU seconds of a training of which only what came after some steps was measured; None: nobody knows.

    Args:
        run: of the training; its log tells how long all steps took.
        before, done: steps before, and in all.
        spent_s, took_s: CPU and clock seconds of the rest: of its steps, and of what comes once, however many there
            were before.
    """
    if not done:
        return None
    if not before:
        return spent_s
    elapsed_s = [float(record["elapsed_s"]) for record in run.records() if "elapsed_s" in record]
    if elapsed_s and took_s > 0:
        return spent_s + spent_s / took_s * elapsed_s[-1] * before / done
    # A log from before steps were timed.
    return spent_s * done / (done - before) if done > before else None


def _clock_s() -> float:
    return time.monotonic()


def _processor_s() -> float:
    """CPU seconds of this process and of the workers that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
