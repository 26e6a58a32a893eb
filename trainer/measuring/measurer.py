"""Takes from one case all that a finished model is to say or remember of it."""

from __future__ import annotations

import torch

from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from trainer.calibration.task_calibration import HeldOutCase
from trainer.data.case_cache import PreparedCase
from trainer.measuring.own_grid_case import OwnGridCase
from trainer.measuring.seen import Seen
from trainer.measuring.shipped_pass import ShippedPass


class Measurer:
    """Passes cases through a network as it ships, each of them once.

    Args:
        network: with the weights that ship.
        spec: of the signature.
        device: where to compute.

    Attributes:
        cell: voxels ``(z, y, x)`` of the network's grid per cell of the map of foreign places.
    """

    def __init__(self, network: SegmentationNetwork, spec: SignatureSpec, device: torch.device) -> None:
        self._pass, self._spec = ShippedPass(network, device), spec
        self.cell = cell_size(network.architecture)

    def look(self, case: PreparedCase, held_out: bool, stem: int = 0) -> Seen:
        """What the check is to remember of a case."""
        voxels = case.network_input()
        features = image_cells(voxels, self.cell)
        return Seen(case.case.group, held_out, self._pass.observed(voxels, self._spec, stem), features)

    def measure(self, case: OwnGridCase, channels: slice, stem: int = 0) -> Seen:
        """The same of a held-out case whose task has labels, with the network's answer."""
        features = image_cells(case.voxels, self.cell)
        logits, observed = self._pass.answered(case.voxels, self._spec, channels, stem)
        return Seen(case.group, True, observed, features, HeldOutCase(case.group, logits, case.truth))

    def label(self, case: OwnGridCase, task: TaskInfo, stem: int = 0) -> None:
        """Go all the way to the labels of a task, to see how long it takes."""
        self._pass.labelled(case.voxels, self._spec, task, case.truth.shape[-3:], stem)
