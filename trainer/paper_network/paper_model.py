"""The whole of a training of the published kind: folders in, file out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainer.config import TrainingConfig
from trainer.data.dataset import datasets_with_masks
from trainer.data.provenance import KEY, Provenance
from trainer.data.spread import evenly
from trainer.paper_network.network_file import PaperModel, save_paper_model
from trainer.paper_network.settings import PaperSettings
from trainer.paper_network.spectral_check import SpectralCheck, signature
from trainer.paper_network.training import PaperTraining
from trainer.paper_network.windows import averaged
from trainer.report.run_folder import RunFolder
from trainer.training.planned_manifest import planned_manifest
from trainer.training.run_lock import run_held
from trainer.training.train_model import generation_of
from trainer.training.training import PreparedData, prepare_data
from trainer.training.training_device import training_device


def train_paper_model(
    directories: Sequence[Path],
    output: Path,
    config: TrainingConfig,
    settings: PaperSettings,
    steps: int,
    cache: Path | None = None,
) -> None:
    """Train one network on all datasets, going on from a checkpoint where there is one, and write its file.

    Args:
        directories: dataset folders with images of one channel.
        output: file; the run folder lies beside it.
        config: how the data are split and prepared, and the seed; see `PaperSettings.training_values`.
        settings: of the network and its training.
        steps: of the optimiser.
        cache: folder for prepared cases that several runs share; None: one of this run's own.

    Raises:
        DatasetError: a dataset cannot be trained on, or has images of several channels.
        FolderIsHeld: another process trains there.
        ModelError, ResourceError: as said in `PaperTraining.run`.
    """
    folder = RunFolder(output, cache)
    with run_held(folder):
        data = prepare_data(datasets_with_masks(directories, several=True), config, folder)
        device = training_device()
        training = PaperTraining(data, config, settings, device)
        training.run(steps, folder)
        said = {KEY: Provenance((generation_of(data, output),)).as_list()}
        manifest = planned_manifest(data.plan, dataclasses.replace(config, ood_variant="paper"), output.stem, said)
        save_paper_model(output, PaperModel(manifest, settings, training.network, _check(data, training)))


def _check(data: PreparedData, training: PaperTraining) -> SpectralCheck:
    """Spectra of training images, evenly taken from each dataset."""
    settings = training.settings
    shown = [case for cases in data.training for case in evenly(cases, settings.reference_images)]
    maps = (averaged(training.network, case.network_input(), settings, training.device)[1] for case in shown)
    return SpectralCheck.of(np.stack([signature(own) for own in maps]))
