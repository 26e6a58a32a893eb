"""What nnU-Net has predicted, asked as our networks are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.image.preparation import Prepared, prepare
from MultiTaskSegLib.runtime.image.resampling import resample_linear
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import Manifest
from trainer.data.labelled_case import LabelledCase
from trainer.nnunet_peer.peer_data import image_key

SMALLEST_SHARE = 1e-12
NO_CHECK = float("nan")
"""Score of images by a network that checks none."""


class PeerPredictor:
    """Answers for the images that nnU-Net was asked about; probabilities are its softmax, not calibrated.

    Args:
        manifest: from `load_manifest`.
        predictions: folder of files ``image_key.npy``, float32 ``(1 + labels, Z, Y, X)`` on the canonical grid of the
            whole image.
    """

    def __init__(self, manifest: Manifest, predictions: Path) -> None:
        self._manifest, self._predictions = manifest, predictions

    @property
    def manifest(self) -> Manifest:
        """Tasks, and whom the network has seen."""
        return self._manifest

    def answer(self, volume: Volume, task: str) -> tuple[NDArray[np.uint8], float]:
        """Labels ``(Z, Y, X)`` on the image's own grid, and `NO_CHECK`.

        Raises:
            InputError: the image cannot be prepared as the task's images are.
            ModelError: nnU-Net was not asked about it.
        """
        told = self._manifest.task(task)
        prepared = prepare(volume, told.profile)
        values = np.array([0, *(label.value for label in told.labels)], dtype=np.uint8)
        canonical = values[self._probabilities(prepared).argmax(axis=0)]
        return np.ascontiguousarray(prepared.frame.reorientation.invert(canonical)), NO_CHECK

    def log_probabilities(self, case: LabelledCase) -> NDArray[np.float32]:
        """Logarithms of the probabilities ``(1 + labels, Z, Y, X)``, interpolated on the grid of our networks.

        Raises:
            ModelError: nnU-Net was not asked about the image.
        """
        cut = (case.prepared.frame.window.cut(channel) for channel in self._probabilities(case.prepared))
        shares = [resample_linear(np.asarray(one, dtype=np.float32), case.prepared.grid_shape) for one in cut]
        logarithms: NDArray[np.float32] = np.log(np.maximum(np.stack(shares), np.float32(SMALLEST_SHARE)))
        return logarithms

    def score(self, volume: Volume) -> float:
        """`NO_CHECK`."""
        return NO_CHECK

    def _probabilities(self, prepared: Prepared) -> NDArray[np.float32]:
        path = self._predictions / f"{image_key(prepared)}.npy"
        try:
            found: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ModelError(f"there is no prediction of nnU-Net for an image ({error})", file=path) from error
        if found.ndim != 4 or found.shape[1:] != prepared.frame.window.whole:
            raise ModelError(
                f"nnU-Net predicted {found.shape} for an image of {prepared.frame.window.whole}", file=path
            )
        return found
