"""Which held-out images are spoilt, and how: a few of each kind of artefact, spread over patients and severities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.layout.case import Case
from trainer.ood.fault.artefact import (
    ARTEFACT_KINDS,
    PLANAR_ARTEFACT_KINDS,
    SEVERITIES,
    Artefact,
    apply_artefact,
    draw_artefact,
)

Labels = NDArray[np.integer]


def planned_faults(
    cases: Sequence[Case], count: int, is_planar: bool, rng: np.random.Generator
) -> list[tuple[Case, Artefact]]:
    """So many faults, kinds one after the other and severities in turn, each in another case until all have had one.

    Args:
        cases: held-out ones of a task, one or more.
        count: of faults.
        is_planar: whether images are 2-D, in which some faults cannot be seen.
        rng: draws the order of the cases and the faults.
    """
    kinds = PLANAR_ARTEFACT_KINDS if is_planar else ARTEFACT_KINDS
    order = rng.permutation(len(cases))
    planned = []
    for number in range(count):
        turn, kind = divmod(number, len(kinds))
        # Each kind meets another severity in the next turn.
        severity = SEVERITIES[(turn + kind) % len(SEVERITIES)]
        planned.append((cases[order[number % len(cases)]], draw_artefact(kinds[kind], severity, rng)))
    return planned


def spoilt(volume: Volume, truth: Labels, fault: Artefact) -> tuple[Volume, Labels]:
    """Image and truth after a fault, which may turn or crop both.

    Raises:
        InputError: the image is constant.
    """
    image, labels = apply_artefact(fault, volume, truth)
    assert labels is not None, "labels were given"
    return image, labels
