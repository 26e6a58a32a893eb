"""A pretext task as a companion of a run: batches of views, a head, a weight."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from trainer.config import TrainingConfig, Triple
from trainer.data.augmentation import Patch, apply_augmentation
from trainer.data.case_cache import PreparedCase
from trainer.data.patches import draw_patch, sampling_shares
from trainer.data.planning import TaskPlan
from trainer.pretraining.encoder_scale import rescale_encoder
from trainer.pretraining.pretext.pretext import UNKNOWN_CATEGORY, PretextBatch, PretextTask, Views


@dataclass(frozen=True)
class ImagePool:
    """Images for batches of views, whether labelled or not: labels are never looked at.

    Attributes:
        tasks: profile and patch by source.
        cases: by source.
        categories: class number by source and case name; names that are missing have no class.
    """

    tasks: tuple[TaskPlan, ...]
    cases: tuple[Sequence[PreparedCase], ...]
    categories: tuple[Mapping[str, int], ...] = ()

    @property
    def patch_zyx(self) -> Triple:
        """Patch that fits all sources, so that a batch can mix them."""
        z, y, x = (min(task.patch_zyx[axis] for task in self.tasks) for axis in range(3))
        return z, y, x

    @property
    def identity(self) -> list[Any]:
        """What batches depend on, as plain values: by source how images are cut, their fingerprints and classes."""
        sources = zip(self.tasks, self.cases, strict=True)
        return [
            [task.name, task.patch_zyx, [[c.case.name, c.fingerprint, self.category(n, c.case.name)] for c in cases]]
            for n, (task, cases) in enumerate(sources)
        ]

    def category(self, source: int, name: str) -> int:
        """Class number of a case."""
        return self.categories[source].get(name, UNKNOWN_CATEGORY) if self.categories else UNKNOWN_CATEGORY


class ViewBatches(Dataset[PretextBatch]):
    """The endless sequence of batches of one pretext task; item i depends on nothing but the seed, the task and i.

    Args:
        pool: images.
        pretext: says how many views it wants and what is done to them.
        config: gives seed, sampling and mirroring.
        architecture: of the network.
        images_per_step: images per batch; all of them when there are fewer.

    Raises:
        DatasetError: there are fewer than two images.
    """

    def __init__(
        self,
        pool: ImagePool,
        pretext: PretextTask,
        config: TrainingConfig,
        architecture: Architecture,
        images_per_step: int,
    ) -> None:
        self.pool, self.pretext, self.config, self.architecture = pool, pretext, config, architecture
        self.places = [(source, number) for source, cases in enumerate(pool.cases) for number in range(len(cases))]
        if len(self.places) < 2:
            raise DatasetError("there are fewer than two images to pre-train on", remedy="Give more images")
        used = [(task.name, len(cases)) for task, cases in zip(pool.tasks, pool.cases, strict=True) if len(cases)]
        by_source = iter(sampling_shares([name for name, _ in used], [count for _, count in used], config))
        shares = [next(by_source) / len(cases) if len(cases) else 0.0 for cases in pool.cases]
        self.probabilities = np.array([shares[source] for source, _ in self.places])
        self.images = min(images_per_step, len(self.places))
        self.stream = zlib.crc32(pretext.name.encode())

    @property
    def identity(self) -> dict[str, Any]:
        """What a batch depends on besides its number and the run's settings, as plain values."""
        return {"task": self.pretext.name, "images": self.images, "pool": self.pool.identity}

    def __getitem__(self, index: int) -> PretextBatch:
        """Make batch number ``index``."""
        rng = np.random.default_rng([self.config.seed, self.stream, index])
        # Without replacement: the same image twice would be taken for two different ones by a contrastive loss.
        chosen = rng.choice(len(self.places), size=self.images, replace=False, p=self.probabilities)
        places = [self.places[number] for number in chosen]
        patches = [self._view(rng, place) for _ in range(self.pretext.views) for place in places]
        categories = [self._category(place) for place in places] * self.pretext.views
        images, inside = torch.stack([p.image for p in patches]), torch.stack([p.inside for p in patches])
        return self.pretext.draw(rng, Views(images, torch.tensor(categories), inside), self.architecture)

    def _view(self, rng: np.random.Generator, place: tuple[int, int]) -> Patch:
        source, number = place
        task, case = self.pool.tasks[source], self.pool.cases[source][number]
        record = draw_patch(rng, task, case, self.config.mirror_axes.get(task.name, ""), 0.0, self.pool.patch_zyx)
        return apply_augmentation(record, case.voxels, case.labels, self.pool.patch_zyx)

    def _category(self, place: tuple[int, int]) -> int:
        source, number = place
        return self.pool.category(source, self.pool.cases[source][number].case.name)


@dataclass(frozen=True)
class PretextCompanion:
    """A pretext task trained beside segmentation, or instead of it.

    Attributes:
        pretext: the task.
        heads: its head.
        batches: of views.
        schedule: weight by the share of the run that is over.
    """

    pretext: PretextTask
    heads: nn.Module
    batches: ViewBatches
    schedule: Callable[[float], float]

    @property
    def name(self) -> str:
        """The task's name."""
        return self.pretext.name

    @property
    def identity(self) -> dict[str, Any]:
        """Its batches; what is done to them belongs to the task."""
        return self.batches.identity

    def weight(self, progress: float) -> float:
        """Factor of the loss."""
        return self.schedule(progress)

    def loss(self, network: SegmentationNetwork, batch: PretextBatch, device: torch.device) -> Tensor:
        """Loss of one batch; only the part of the network that the task needs is run."""
        inputs = batch.inputs.to(device).contiguous(memory_format=torch.channels_last_3d)
        targets = {name: target.to(device) for name, target in batch.targets.items()}
        whole = self.pretext.needs_decoder
        maps = network.features(inputs) if whole else network.encoder_features(inputs, len(network.encoder))
        return self.pretext.loss(self.heads, maps, PretextBatch(inputs, targets))


def pretext_companions(
    pretexts: Sequence[PretextTask],
    pool: ImagePool,
    config: TrainingConfig,
    architecture: Architecture,
    images_per_step: int,
    schedule: Callable[[float], float],
) -> tuple[PretextCompanion, ...]:
    """Companions for pretext tasks on the same images.

    Raises:
        DatasetError: there are fewer than two images.
    """
    return tuple(
        PretextCompanion(
            pretext,
            # A stream of random numbers of its own, so that a head does not depend on the tasks beside it.
            pretext.head(architecture, torch.Generator().manual_seed(config.seed + zlib.crc32(pretext.name.encode()))),
            ViewBatches(pool, pretext, config, architecture, images_per_step),
            schedule,
        )
        for pretext in pretexts
    )


def finishing(
    companions: Sequence[PretextCompanion],
) -> Callable[[SegmentationNetwork, torch.device], None] | None:
    """What is done to pre-trained weights in the end: `rescale_encoder` if no task has trained the decoder, or None."""
    if any(companion.pretext.needs_decoder for companion in companions):
        return None

    def finish(network: SegmentationNetwork, device: torch.device) -> None:
        """Measured on the first batch."""
        rescale_encoder(network, companions[0].batches[0].inputs, device)

    return finish
