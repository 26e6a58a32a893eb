"""Groups of patches for each training step, drawn from a counter: any step can be made again from its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from MultiTaskSegLib.runtime.image.preparation import prepare
from trainer.config import TrainingConfig, Triple
from trainer.data.augmentation import Augmentation, Patch, apply_augmentation, draw_augmentation
from trainer.data.case_cache import PreparedCase, label_points, output_labels
from trainer.data.label_resampling import resample_labels
from trainer.data.planning import TaskPlan
from trainer.synthesis.reader import FINEST_MM, SyntheticReader

# What is drawn for a coarse grid need not be drawn finer than so many voxels for one of it.
FINER = 2.0
UNCHANGED = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class PatchGroup:
    """Patches of one task.

    Attributes:
        task: index of the task.
        images: float32 ``(B, C, Z, Y, X)``.
        labels: int64 ``(B, Z, Y, X)`` as in `PreparedCase`.
    """

    task: int
    images: Tensor
    labels: Tensor


def dataset_probabilities(
    case_counts: Sequence[int], exponent: float, weights: Sequence[float] | None = None
) -> np.ndarray:
    """Probability of each dataset when a case of a dataset of n is drawn with probability ~ n**-exponent.

    With exponent 0.5 a dataset's share grows as sqrt(n) (Karimi & Gholipour; Ulrich et al., MultiTalent). ``weights``
    multiply the shares.
    """
    counts = np.asarray(case_counts, dtype=np.float64)
    share = counts * counts**-exponent * (1.0 if weights is None else np.asarray(weights, dtype=np.float64))
    probabilities: np.ndarray = share / share.sum()
    return probabilities


def sampling_shares(names: Sequence[str], case_counts: Sequence[int], config: TrainingConfig) -> np.ndarray:
    """`dataset_probabilities` of datasets of these names, as the settings of a training say."""
    weights = [config.sampling_weights.get(name, 1.0) for name in names]
    return dataset_probabilities(case_counts, config.sampling_exponent, weights)


class PatchGroups(Dataset[PatchGroup]):
    """The endless sequence of patch groups; item i depends on nothing but the seed and i."""

    def __init__(
        self, tasks: Sequence[TaskPlan], cases: Sequence[Sequence[PreparedCase]], config: TrainingConfig
    ) -> None:
        self.tasks, self.cases, self.config = tasks, cases, config
        self.probabilities = sampling_shares([task.name for task in tasks], [len(c) for c in cases], config)

    def __getitem__(self, index: int) -> PatchGroup:
        """Make group number ``index``."""
        rng = np.random.default_rng([self.config.seed, index])
        number = int(rng.choice(len(self.tasks), p=self.probabilities))
        patches = [self._patch(rng, number) for _ in range(self.config.patches_per_group)]
        images, labels = (torch.stack([getattr(patch, part) for patch in patches]) for part in ("image", "labels"))
        return PatchGroup(number, images, labels)

    def _patch(self, rng: np.random.Generator, number: int) -> Patch:
        task = self.tasks[number]
        case = self.cases[number][int(rng.integers(len(self.cases[number])))]
        if is_drawn(case):
            return self._drawn_patch(rng, task, case)
        record = self._record(rng, task, case)
        return apply_augmentation(record, case.voxels, case.labels, task.patch_zyx, case.further)

    def _drawn_patch(self, rng: np.random.Generator, task: TaskPlan, case: PreparedCase) -> Patch:
        """Of an image that is drawn for this patch alone; whatever could be changed about it is drawn already."""
        share = self.config.foreground_fraction
        fresh = fresh_case(case, task, rng, with_points=share > 0)
        record = Augmentation(draw_centre(rng, fresh, share, task.patch_zyx), UNCHANGED)
        return apply_augmentation(record, fresh.voxels, fresh.labels, task.patch_zyx)

    def _record(self, rng: np.random.Generator, task: TaskPlan, case: PreparedCase) -> Augmentation:
        mirror = self.config.mirror_axes.get(task.name, "")
        return draw_patch(rng, task, case, mirror, self.config.foreground_fraction)


def draw_patch(
    rng: np.random.Generator,
    task: TaskPlan,
    case: PreparedCase,
    mirror: str,
    foreground_fraction: float,
    patch_zyx: Triple | None = None,
) -> Augmentation:
    """Draw where a patch of a case lies and how it is changed.

    Args:
        rng: the only source of chance.
        task: gives patch size and grid.
        case: to be cut from.
        mirror: axes along which it may be mirrored.
        foreground_fraction: share of patches centred on a random label; 0 never looks at the labels.
        patch_zyx: another patch size than the task's.
    """
    size = patch_zyx or task.patch_zyx
    centre = draw_centre(rng, case, foreground_fraction, size)
    spacing = task.profile.spacing_zyx_mm or (1.0, 1.0, 1.0)
    return draw_augmentation(rng, centre, spacing, size, task.profile.grid == "fit", mirror, len(case.further))


def draw_centre(
    rng: np.random.Generator, case: PreparedCase, foreground_fraction: float, size: Triple
) -> tuple[float, float, float]:
    """Draw where the centre of a patch lies, in voxels of the case ``(z, y, x)``; arguments as of `draw_patch`."""
    shape, patch = np.asarray(case.voxels.shape), np.asarray(size)
    if foreground_fraction and case.points and rng.random() < foreground_fraction:
        label = sorted(case.points)[int(rng.integers(len(case.points)))]
        aim = case.points[label][int(rng.integers(len(case.points[label])))] + rng.uniform(-0.2, 0.2, 3) * patch
    else:
        aim = rng.uniform(0, 1, 3) * (shape - 1)
    # Patch corners fall on voxels: half a voxel of shift would blur, through thick slices beyond recognition.
    # Where the case is larger than the patch, the patch stays inside it. Where it is smaller, it lies anywhere in
    # the patch, because at inference it starts at the corner, and pooling must work from every alignment.
    inside = np.clip(np.round(aim - (patch - 1) / 2), 0, np.maximum(shape - patch, 0))
    start = np.where(shape < patch, -rng.integers(0, np.maximum(patch - shape, 0) + 1), inside)
    z, y, x = (float(c) for c in start + (patch - 1) / 2)
    return z, y, x


def is_drawn(case: PreparedCase) -> bool:
    """Whether the case can be drawn anew."""
    return isinstance(case.case.reader, SyntheticReader)


def fresh_case(case: PreparedCase, task: TaskPlan, rng: np.random.Generator, with_points: bool) -> PreparedCase:
    """Another image of the same label map, in memory.

    Args:
        case: one that `is_drawn`.
        task: gives grid and labels.
        rng: the only source of chance.
        with_points: whether positions of the labels are wanted.
    """
    reader = case.case.reader
    assert isinstance(reader, SyntheticReader)
    spacing = task.profile.spacing_zyx_mm or (FINEST_MM,) * 3
    volume, stored = reader.fresh(case.case, rng, max(FINEST_MM, min(spacing) / FINER))
    prepared = prepare(volume, task.profile)
    canonical = np.asarray(prepared.canonical(output_labels(task, stored)))
    labels = resample_labels(canonical, prepared.voxels.shape).astype(np.uint8)
    points = {int(v): label_points(labels, v, rng) for v in np.unique(labels) if v} if with_points else {}
    return replace(case, voxels=prepared.voxels, labels=labels, points=points)


class StepRange:
    """Sampler of the group numbers of the steps from ``first_step`` on, without end.

    Args:
        first_step: whose groups come first.
        groups_per_step: how many belong to a step.
        own: of a step's groups those that are made here; None: all.
    """

    def __init__(self, first_step: int, groups_per_step: int, own: Sequence[int] | None = None) -> None:
        self.start, self.stride = first_step * groups_per_step, groups_per_step
        self.own = range(groups_per_step) if own is None else own

    def __iter__(self):  # type: ignore[no-untyped-def]
        """Group numbers 'start', 'start' + 1, ..., of which others are left out."""
        begin = self.start
        while True:
            yield from (begin + number for number in self.own)
            begin += self.stride
