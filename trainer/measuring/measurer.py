"""Takes from one case all that a finished model is to say or remember of it."""

from __future__ import annotations

import torch

from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.ood.signature import Observed, SignatureSpec
from trainer.calibration.task_calibration import HeldOutCase, TaskCalibration
from trainer.data.case_cache import PreparedCase
from trainer.measuring.own_grid_case import OwnGridCase
from trainer.measuring.shipped_pass import ShippedPass
from trainer.reference.cell_fitting import CellSamples


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

    def look(self, case: PreparedCase, cells: CellSamples, held_out: bool, stem: int = 0) -> Observed:
        """What the check remembers of a case: its cells go to those of its task, its signature's parts are returned."""
        voxels = case.network_input()
        cells.add(image_cells(voxels, self.cell), case.case.group, held_out)
        return self._pass.observed(voxels, self._spec, stem)

    def measure(
        self, case: OwnGridCase, cells: CellSamples, channels: slice, calibration: TaskCalibration, stem: int = 0
    ) -> Observed:
        """The same of a held-out case whose task has labels; the answer goes to the task's calibration."""
        cells.add(image_cells(case.voxels, self.cell), case.group, True)
        logits, observed = self._pass.answered(case.voxels, self._spec, channels, stem)
        calibration.add(HeldOutCase(case.group, logits, case.truth))
        return observed

    def label(self, case: OwnGridCase, task: TaskInfo, stem: int = 0) -> None:
        """Go all the way to the labels of a task, to see how long it takes."""
        self._pass.labelled(case.voxels, self._spec, task, case.truth.shape[-3:], stem)
