"""Ensemble knowledge distillation: a student learns what its teachers say on average.

Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network" (2015): Kullback-Leibler divergence of softened
probabilities, times the square of the temperature. Beside it stands a Dice loss for soft targets, as cross-entropy and
Dice stand side by side for labels: Wang et al., "Dice semimetric losses: optimizing the Dice score with soft labels"
(MICCAI 2023), equation DML1, which is smallest where both sides agree, and the Dice loss where targets are hard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any, Literal

import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from trainer.identity.weights_digest import weights_digest
from trainer.pretraining.pretext.pretext import PretextBatch
from trainer.pretraining.pretext_companion import ViewBatches
from trainer.two_stage.student_views import SEEN_BY_TEACHERS

Weighting = Literal["uniform", "per-class", "per-voxel"]


@dataclass(frozen=True)
class Distillation:
    """The distillation term as a companion of the student's training.

    Attributes:
        teachers: plain networks of the same task, on the device where the student is trained.
        batches: views of labelled and unlabelled images.
        factor: weight of the term.
        temperature: of teachers and student.
        weighting: how the teachers are averaged.
        class_weights: ``(teachers, classes)`` for ``per-class``.
    """

    teachers: Sequence[SegmentationNetwork]
    batches: ViewBatches
    factor: float
    temperature: float
    weighting: Weighting = "uniform"
    class_weights: Tensor | None = None
    heads: nn.Module = field(default_factory=nn.Identity)
    name: str = "distillation"

    @property
    def identity(self) -> dict[str, Any]:
        """Its batches, how teachers are averaged, and their weights."""
        teachers = [weights_digest(teacher.state_dict()) for teacher in self.teachers]
        averaged = [self.weighting, None if self.class_weights is None else self.class_weights.tolist()]
        return self.batches.identity | {
            "teachers": teachers,
            "average": averaged,
            "term": [self.factor, self.temperature],
        }

    def weight(self, progress: float) -> float:
        """Factor of the loss."""
        return self.factor

    def loss(self, network: SegmentationNetwork, batch: PretextBatch, device: torch.device) -> Tensor:
        """Divergence of the student from its teachers on one batch, of which they may see an easier version."""
        inputs, shown = (
            images.to(device).contiguous(memory_format=torch.channels_last_3d)
            for images in (batch.inputs, batch.targets.get(SEEN_BY_TEACHERS, batch.inputs))
        )
        with torch.no_grad():
            answers = [teacher(shown).float() for teacher in self.teachers]
            softened, plain = (self._average(answers, t) for t in (self.temperature, 1.0))
        logits = network(inputs).float()
        divergence = soft_divergence(logits / self.temperature, softened) * self.temperature**2
        return divergence + soft_dice(torch.softmax(logits, dim=1), plain)

    def _average(self, answers: Sequence[Tensor], temperature: float) -> Tensor:
        probabilities = torch.stack([torch.softmax(answer / temperature, dim=1) for answer in answers])
        return average_teachers(probabilities, self.weighting, self.class_weights)


def average_teachers(probabilities: Tensor, weighting: Weighting, class_weights: Tensor | None = None) -> Tensor:
    """Weighted mean of the teachers' probabilities; again a probability at every voxel.

    Args:
        probabilities: ``(T, B, C, Z, Y, X)``.
        weighting: ``uniform``; ``per-class`` by ``class_weights``; ``per-voxel`` by 1 - entropy / log C.
        class_weights: ``(T, C)``, not negative; only for ``per-class``.
    """
    if weighting == "uniform":
        return probabilities.mean(dim=0)
    if weighting == "per-class":
        assert class_weights is not None
        weights = class_weights.to(probabilities)[:, None, :, None, None, None].clamp(min=1e-3)
    else:
        entropy = -(probabilities * probabilities.clamp(min=1e-12).log()).sum(dim=2, keepdim=True)
        weights = (1 - entropy / log(probabilities.shape[2])).clamp(min=1e-3)
    mean = (weights * probabilities).sum(dim=0) / weights.sum(dim=0)
    # Weights that differ between classes leave a sum that is not quite 1.
    return mean / mean.sum(dim=1, keepdim=True)


def soft_divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Kullback-Leibler divergence of softmax(logits) from ``target``, both ``(B, C, Z, Y, X)``; mean over voxels."""
    entropy = target * target.clamp(min=1e-12).log()
    return (entropy - target * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()


def soft_dice(probabilities: Tensor, target: Tensor) -> Tensor:
    """DML1 of Wang et al., mean over the labels (not the background), each over the whole batch; ``(B, C, Z, Y, X)``.

    A label that teachers see almost nowhere in the batch is left out, as absent labels are in the supervised loss.
    """
    axes = (0, 2, 3, 4)
    sizes = (probabilities.sum(dim=axes) + target.sum(dim=axes))[1:]
    distance = (probabilities - target).abs().sum(dim=axes)[1:]
    present = target.amax(dim=axes)[1:] > 0.5
    if not bool(present.any()):
        return probabilities.sum() * 0.0
    return (distance[present] / sizes[present]).mean()
