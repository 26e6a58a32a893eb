"""The whole of a training of nnU-Net: a dataset folder in, a trained network and predictions of the test images out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.structure import from_plain, to_plain
from trainer.config import TrainingConfig
from trainer.data.dataset import datasets_with_masks
from trainer.data.provenance import KEY, Provenance
from trainer.layout.case import Case
from trainer.nnunet_peer.peer_data import NAME, NUMBER, write_images, write_training_data
from trainer.nnunet_peer.peer_process import FOLDERS, run_program
from trainer.nnunet_peer.settings import NnunetSettings
from trainer.report.run_folder import RunFolder, write_json_file
from trainer.training.planned_manifest import planned_manifest
from trainer.training.run_lock import run_held
from trainer.training.train_model import generation_of
from trainer.training.training import PreparedData, prepare_data

MANIFEST, TOLD, PREDICTIONS, IMAGES = "manifest.json", "told.json", "predictions", "images"
RAW, PREPROCESSED, _ = FOLDERS


def train_peer(
    directory: Path,
    tested: Sequence[Case],
    run: RunFolder,
    config: TrainingConfig,
    settings: NnunetSettings,
    budget_cpu_s: float,
) -> dict[str, Any]:
    """Train nnU-Net on a dataset and predict cases, unless it is done; what was interrupted begins anew.

    Args:
        directory: dataset folder, without those whom the training must not see.
        tested: cases to predict.
        run: everything is written to its folder.
        config: how the dataset is split, the seed, and the threads.
        settings: of nnU-Net.
        budget_cpu_s: CPU seconds of its training.

    Returns:
        ``steps``, ``cpu_s`` of the training, ``budget_cpu_s``, ``preparation_cpu_s``, ``prediction_cpu_s``, ``patch``,
        ``batch`` and ``weights`` (how many there are).

    Raises:
        DatasetError: the dataset cannot be trained on, or its labels may overlap.
        FolderIsHeld: another process trains there.
        UsageError, ModelError: as said in `run_program`.
    """
    with run_held(run):
        told = run.path / TOLD
        if not told.is_file():
            _begin_anew(run.path)
            data = prepare_data(datasets_with_masks([directory]), config, run)
            (task,) = data.plan.tasks
            if task.are_regions:
                raise DatasetError(
                    "labels that may overlap are not compared with nnU-Net",
                    file=directory,
                    remedy="Leave the dataset out of the arm's datasets",
                )
            said = {KEY: Provenance((generation_of(data, run.path),)).as_list()}
            manifest = planned_manifest(data.plan, config, "nnunet", said)
            write_json_file(run.path / MANIFEST, to_plain(manifest))
            request = _request(data, manifest, tested, run.path, config, settings)
            run_program(settings.python, run.path, {**request, "budget_cpu_s": budget_cpu_s, "told": str(told)})
        try:
            facts: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"nnU-Net did not say what it did ({error})", file=told) from error
    return {**facts, "budget_cpu_s": budget_cpu_s}


def load_manifest(run: RunFolder) -> Manifest:
    """What a finished training says of tasks, grids, and whom it has seen.

    Raises:
        ModelError: it is missing or damaged.
    """
    path = run.path / MANIFEST
    try:
        return from_plain(Manifest, json.loads(path.read_text(encoding="utf-8")), MANIFEST)
    except (OSError, ValueError) as error:
        raise ModelError(f"the record of the training cannot be read ({error})", file=path) from error


def discard_work(run: RunFolder) -> None:
    """Remove what a measured training needs no more; what nnU-Net calls its results stays."""
    # First of all what says that the rest is there.
    (run.path / TOLD).unlink(missing_ok=True)
    for name in (RAW, PREPROCESSED, PREDICTIONS, IMAGES):
        shutil.rmtree(run.path / name, ignore_errors=True)


def _begin_anew(folder: Path) -> None:
    for name in (*FOLDERS, PREDICTIONS, IMAGES):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (*FOLDERS, PREDICTIONS):
        (folder / name).mkdir()


def _request(
    data: PreparedData,
    manifest: Manifest,
    tested: Sequence[Case],
    folder: Path,
    config: TrainingConfig,
    settings: NnunetSettings,
) -> dict[str, Any]:
    """Write all files that nnU-Net reads, and say what it is to do."""
    (plan,), (task,) = data.plan.tasks, manifest.tasks
    (training,), (held_out,) = (
        [[case.case for case in cases] for cases in side] for side in (data.training, data.held_out)
    )
    is_planar = training[0].read_image().is_planar
    return {
        "dataset": NAME,
        "number": NUMBER,
        "split": write_training_data(folder / RAW, plan.dataset, task, training, held_out),
        "images": write_images(folder / IMAGES, task, tested),
        "configuration": settings.configuration_of(is_planar=is_planar),
        "memory_gb": settings.memory_gb or None,
        "mirror": settings.mirror,
        "seed": config.seed,
        "threads": config.threads,
        "predictions": str(folder / PREDICTIONS),
    }
