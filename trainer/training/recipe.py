"""What a run does beyond plain supervised training: other first weights, parts held still, losses beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork

IMAGES_ALONE = "a network that is trained without masks segments nothing that members could agree on"
RELEASED = "this training releases parts of the network one after the other, over the training as a whole"


class Companion(Protocol):
    """A loss that is trained beside segmentation, or instead of it, on one batch of its own per step."""

    @property
    def name(self) -> str:
        """For the log; unique among a run's companions."""

    @property
    def heads(self) -> nn.Module:
        """Trained along with the network and dropped afterwards; may be without parameters."""

    @property
    def batches(self) -> Dataset[Any]:
        """The endless sequence of batches; item i depends on nothing but the seed and i."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What it depends on beyond the run's settings, its images included, as plain values: see `run_identity`."""

    def weight(self, progress: float) -> float:
        """Factor of the loss when a share ``progress`` of the run is over."""

    def loss(self, network: SegmentationNetwork, batch: Any, device: torch.device) -> Tensor:
        """Scalar loss of one batch, without the weight.

        Args:
            network: on ``device``, as are the heads.
            batch: from `batches`, on the processor.
            device: where to compute.
        """


@dataclass(frozen=True)
class Recipe:
    """Departures from plain supervised training; the defaults are none.

    Attributes:
        weights: plain weights to start from, by the names of `SegmentationNetwork`; others stay random.
        frozen: prefixes of the names of parameters that are held still when a share of the run is over.
        companions: losses beside segmentation.
        supervised: whether segmentation is trained at all.
        uses_labels: whether any label, of voxels or of images, is learnt from.
        finish: changes the averaged network, which is on the device that is passed, in place when training is over.
        identity: what a checkpoint of such a run belongs to, beyond data and configuration.
    """

    weights: Mapping[str, Tensor] | None = None
    frozen: Callable[[float], tuple[str, ...]] | None = None
    companions: tuple[Companion, ...] = ()
    supervised: bool = True
    uses_labels: bool = True
    finish: Callable[[SegmentationNetwork, torch.device], None] | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def undivided(self) -> str:
        """Why a run cannot be divided into cycles of the learning rate, in words; empty: it can."""
        if not self.supervised:
            return IMAGES_ALONE
        if self.companions:
            return "the losses beside segmentation are weighted over the training as a whole"
        if self.frozen is not None and self.frozen(0.0) != self.frozen(1.0):
            return RELEASED
        return ""


PLAIN = Recipe()
