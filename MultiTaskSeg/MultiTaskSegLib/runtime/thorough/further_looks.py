"""The thorough check: an image is segmented several more times, each time a little changed, and what comes is compared
with the result.

Where segmentations of changed images differ, one of them is wrong, and nobody knows which; where they agree, they are
mostly right. The mean Dice of pairs is the best known sign of a failure (Zenk et al., Medical Image Analysis 101, 2025,
who compare networks of an ensemble; here one network looks several times, as in test-time augmentation: Wang et al.,
Neurocomputing 338, 2019).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.agreement.mask_overlap import MaskOverlap, label_overlaps, mask_overlap, mean_defined
from MultiTaskSegLib.runtime.errors import InputError, MtsError, ResourceError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.machine.memory_shortage import reason_of
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.quality.image_agreement import ImageAgreement
from MultiTaskSegLib.runtime.thorough.change import changes_of

Progress = Callable[[float, str], None]


class Looks(Protocol):
    """What is needed of a loaded model."""

    @property
    def manifest(self) -> Any:
        """Its description."""

    def segment(self, volume: Volume, task: str = "auto", progress: Progress | None = None) -> Any:
        """Labels of one volume."""


def looked_again(
    model: Looks,
    seen: Volume,
    found: Segmentation,
    progress: Progress,
    inside: NDArray[np.bool_] | None = None,
) -> Segmentation:
    """A result with how far further looks agree with it. What goes wrong with them leaves the result as it is, with a
    word.

    Args:
        model: that the result is of.
        seen: the image, or the part of one that the result is of.
        found: the result.
        progress: told the share of the further looks that is done.
        inside: bool ``(Z, Y, X)``, where they are to agree; None for everywhere.
    """
    agreement, failures = agreement_of(model, seen, found, progress, inside)
    if agreement is None:
        return found.with_warnings([f"the thorough check could not be made: {failures[-1]}"])
    count = len(changes_of(seen, model.manifest.absolute_scales(found.task.name)))
    lost = (
        f"{count - agreement.looks} of {count} looks of the thorough check failed: {failures[-1]}" if failures else ""
    )
    return replace(found, agreement=agreement).with_warnings([lost] if lost else [])


def agreement_of(
    model: Looks,
    seen: Volume,
    found: Segmentation,
    progress: Progress,
    inside: NDArray[np.bool_] | None = None,
) -> tuple[ImageAgreement | None, list[MtsError]]:
    """How far further looks agree with a result, and why some of them could not be taken.

    Args:
        model, seen, found, progress, inside: as of `looked_again`.

    Returns:
        The agreement with those that could be taken, None without any; and the reasons. Where memory ran out no further
        look is tried, so that this is the last reason.
    """
    started_s, scales = time.perf_counter(), model.manifest.absolute_scales(found.task.name)
    changes = changes_of(seen, scales)
    overlaps: list[Mapping[int, MaskOverlap]] = []
    failures: list[MtsError] = []
    for number, change in enumerate(changes):
        tell = part_of(progress, number / len(changes), (number + 1) / len(changes), f"look {number + 2}: ")
        # What the look before has left in the heap must not lie beside what follows.
        release_freed_memory()
        try:
            other = model.segment(change.of(seen, scales), found.task.name, tell)
            _require_change(found, other)
            overlaps.append(_overlaps(found, other, inside))
            del other
        except Exception as error:
            failures.append(reason_of(error))
            if isinstance(failures[-1], ResourceError):
                break
    if not overlaps:
        return None, failures
    return ImageAgreement(_means(overlaps), len(overlaps), time.perf_counter() - started_s), failures


def _require_change(found: Segmentation, other: Segmentation) -> None:
    """Refuse a look that has seen what the result was made of: it agrees fully, and that says nothing.

    Voxels that are much coarser than the network's, and pictures whose voxel size a network never asks for, lie on the
    same grid however their header is stretched.
    """
    one, its = found.volume, other.volume
    has_same_voxels = all(mine is theirs for mine, theirs in zip(one.channels, its.channels, strict=True))
    grid, its_grid = found.network_grid, other.network_grid
    if has_same_voxels and grid is not None and its_grid is not None and grid["size"] == its_grid["size"]:
        raise InputError(
            "in another voxel size or contrast the network sees the very same image", file=one.name or None
        )


def _means(overlaps: Sequence[Mapping[int, MaskOverlap]]) -> dict[int, float | None]:
    """Mean Dice by label; None of labels that are nowhere."""
    dice = {value: mean_defined([own[value].dice for own in overlaps]) for value in overlaps[0]}
    return {value: None if np.isnan(own) else own for value, own in dice.items()}


def _overlaps(one: Segmentation, other: Segmentation, inside: NDArray[np.bool_] | None) -> dict[int, MaskOverlap]:
    """By label value."""
    values = [label.value for label in one.task.labels]
    if one.regions is None or other.regions is None:
        return label_overlaps(_within(one.labels, inside), _within(other.labels, inside), values)
    pairs = zip(values, one.regions, other.regions, strict=True)
    return {value: mask_overlap(_within(mine, inside), _within(its, inside)) for value, mine, its in pairs}


def _within(marked: NDArray[Any], inside: NDArray[np.bool_] | None) -> NDArray[Any]:
    return marked if inside is None else marked * inside


def part_of(progress: Progress, start: float, end: float, words: str = "") -> Progress:
    """What tells the progress of a part of a run, from one share of the whole to another, with words before its
    steps."""

    def told(share: float, step: str) -> None:
        """A share of the part is done."""
        progress(start + (end - start) * share, f"{words}{step}")

    return told
