"""A trained network of the published kind, asked as ours are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream
from MultiTaskSegLib.runtime.labels.labelling import finished
from MultiTaskSegLib.runtime.model.manifest import Manifest
from trainer.data.labelled_case import LabelledCase
from trainer.paper_network.network_file import PaperModel
from trainer.paper_network.spectral_check import signature
from trainer.paper_network.windows import Floats, averaged

SMALLEST_SHARE = 1e-12


class PaperPredictor:
    """Segments and checks images with a network of the published kind; probabilities are its own, not calibrated.

    Args:
        model: from `load_paper_model`.
        device: where to compute.
    """

    def __init__(self, model: PaperModel, device: torch.device) -> None:
        self._model, self._device = model, device
        self._network = model.network.to(device)

    @property
    def manifest(self) -> Manifest:
        """Tasks, and whom the network has seen."""
        return self._model.manifest

    def answer(self, volume: Volume, task: str) -> tuple[NDArray[np.uint8], float]:
        """Labels ``(Z, Y, X)`` on the image's own grid, and the score of the check in units of its limit.

        Raises:
            InputError: the image cannot be prepared as the task's images are.
        """
        told = self.manifest.task(task)
        prepared = prepare(volume, told.profile)
        shares, maps = self._averaged(prepared.voxels)
        stream = LabelStream(told, prepared.grid_shape, prepared.canonical_shape)
        stream.push(torch.from_numpy(shares.copy()))
        return finished(stream.running, told, prepared).labels, self._model.check.score(signature(maps))

    def log_probabilities(self, case: LabelledCase) -> NDArray[np.float32]:
        """Logarithms of the probabilities ``(2, Z, Y, X)`` on the network's grid, background first."""
        shares, _ = self._averaged(case.prepared.voxels)
        logarithms: NDArray[np.float32] = np.log(np.maximum(shares, np.float32(SMALLEST_SHARE)))
        return logarithms

    def score(self, volume: Volume) -> float:
        """How far an image of whichever kind is from all training images, in units of the limit.

        It is looked at as the images of each profile are, and the nearest counts.

        Raises:
            InputError: it cannot be prepared.
        """
        profiles = dict.fromkeys(task.profile for task in self.manifest.tasks)
        maps = (self._averaged(prepare(volume, profile).voxels)[1] for profile in profiles)
        return min(self._model.check.score(signature(own)) for own in maps)

    def _averaged(self, voxels: NDArray[np.float32]) -> tuple[Floats, Floats]:
        return averaged(self._network, voxels, self._model.settings, self._device)
