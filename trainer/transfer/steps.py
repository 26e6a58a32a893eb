"""The three kinds of run: pre-train a source, fine-tune on a target, predict the gain without training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.config import config_from_dict
from trainer.data.dataset import read_dataset
from trainer.data.image_source import read_image_source
from trainer.data.provenance import require_unseen
from trainer.experiment.run import shared_cache
from trainer.pretraining.finetune import finetune
from trainer.pretraining.pretrain import pretrain
from trainer.recommendation.predictor import predict_transfer, source_facts
from trainer.report.run_folder import discard_checkpoints
from trainer.training.training import Budget
from trainer.transfer.design import split_of, without_groups
from trainer.transfer.measurement import measure

MODEL = "model.mts.safetensors"


def pretrain_source(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Pre-train one source with one seed; groups on which a target is measured are left out."""
    folders = [
        without_groups(Path(data), groups, folder / f"excluded-{number}.txt")
        for number, (data, groups) in enumerate(zip(parameters["data"], parameters["excluded_groups"], strict=True))
    ]
    config = config_from_dict(dict(parameters["training"]))
    manifest = pretrain(
        folders,
        folder / MODEL,
        parameters["task"],
        config,
        Budget(steps=parameters["steps"]),
        pretexts=parameters["pretexts"],
        resume=True,
        cache=shared_cache(folder),
    )
    discard_checkpoints(folder)
    return {"training_cases": sum(task.training_cases for task in manifest.tasks)}


def finetune_target(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Fine-tune on a target, from the only input's model or from random weights, and measure on held-out groups."""
    config = config_from_dict(dict(parameters["training"]))
    target = Path(parameters["data"])
    start = next((path / MODEL for path in inputs.values()), None)
    finetune(
        start,
        [target],
        folder / MODEL,
        config,
        Budget(steps=parameters["steps"]),
        strategy=parameters["strategy"],
        labelled_cases=parameters["labelled_cases"] or None,
        resume=True,
        cache=shared_cache(folder),
    )
    dataset = read_dataset(target)
    held_out = split_of(dataset, config).held_out
    predictor = Predictor.load(folder / MODEL)
    require_unseen(held_out, predictor.manifest)
    figures = measure(predictor, dataset, held_out, parameters["lesions"])
    discard_checkpoints(folder)
    return figures


def predict_gain(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Predictors of the gain from the target's training images, of which no label is looked at."""
    config = config_from_dict(dict(parameters["training"]))
    dataset = read_dataset(Path(parameters["data"]))
    model = next(iter(inputs.values())) / MODEL
    if parameters["source_task"] == "segmentation":
        sources = [read_dataset(Path(data)) for data in parameters["source_data"]]
    else:
        sources = [read_image_source(Path(data)).dataset for data in parameters["source_data"]]
    facts = source_facts(sources, parameters["images"])
    training = split_of(dataset, config).training
    return predict_transfer(Predictor.load(model), dataset, training, parameters["images"], facts)
