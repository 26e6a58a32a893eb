"""One labelled image on its way into a dataset folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # not when Slicer starts
    import SimpleITK as sitk


@dataclass(frozen=True)
class Structure:
    """One structure of a labelled image.

    Attributes:
        name: of its label.
        mask: bool ``(Z, Y, X)`` on the grid of the image.
        title: what people call it, by which a dataset may know it, too; empty where that is the name.
    """

    name: str
    mask: NDArray[np.bool_]
    title: str = ""


@dataclass(frozen=True)
class TrainingCase:
    """A labelled image.

    Attributes:
        name: wanted for its files.
        channels: images on one grid, in the order of the channels; voxels and geometry are written as they are.
        structures: all that is labelled; what is in none of them is background.
        patient: who is shown, so that the trainer never has a patient on both sides of a split: an identifier that is
            told to nobody else, or empty where it is not known and the case stands for itself.
        channel_names: what the channels are (``T1``, ``CT`` ...), as far as it is known.
        anatomy: what the image shows, or empty.
    """

    name: str
    channels: tuple[sitk.Image, ...]
    structures: tuple[Structure, ...]
    patient: str = ""
    channel_names: tuple[str, ...] = ()
    anatomy: str = ""


@dataclass(frozen=True)
class Addition:
    """What was added to a dataset.

    Attributes:
        folder: the dataset.
        cases: names of the new cases.
        is_new: whether the dataset was made.
        left_out: why cases were left out, by their number among those that were given.
    """

    folder: Path
    cases: tuple[str, ...]
    is_new: bool
    left_out: Mapping[int, str] = field(default_factory=dict)
