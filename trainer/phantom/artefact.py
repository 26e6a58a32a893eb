"""Faults that make an image of a known task unlike the images of that task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from MultiTaskSegLib.runtime.image.volume import Volume

Artefact = Callable[[Volume, np.random.Generator], Volume]


def spiked(volume: Volume, random: np.random.Generator) -> Volume:
    """Herringbone stripes: three corrupt points of k-space in every slice along the first axis.

    Args:
        volume: image to spoil; unchanged.
        random: source of the positions.
    """
    _, rows, columns = volume.shape
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    strength = 0.15 * float(np.ptp(np.percentile(volume.voxels, (1, 99))))
    stripes = np.zeros((rows, columns))
    for cycles_down, cycles_across, phase_rad in random.uniform((0.15, 0.15, 0), (0.4, 0.4, 2 * np.pi), size=(3, 3)):
        stripes += np.cos(2 * np.pi * (cycles_down * row + cycles_across * column) + phase_rad)
    return replace(volume, voxels=(volume.voxels + strength * stripes).astype(np.float32))


def inverted(volume: Volume, random: np.random.Generator) -> Volume:
    """Inverted contrast: bright becomes dark within the same range of values."""
    del random
    return replace(volume, voxels=volume.voxels.max() + volume.voxels.min() - volume.voxels)


def ghosted(volume: Volume, random: np.random.Generator) -> Volume:
    """Ghosts of motion: weaker copies shifted along the second axis by a third of the image, to both sides."""
    shift = int(volume.shape[1] * random.uniform(0.25, 0.35))
    floor = float(np.percentile(volume.voxels, 1))
    above = volume.voxels - floor
    copies = np.roll(above, shift, axis=1) + np.roll(above, -shift, axis=1)
    return replace(volume, voxels=(volume.voxels + 0.25 * copies).astype(np.float32))


def misspaced(volume: Volume, random: np.random.Generator) -> Volume:
    """Wrong header: the voxels claim to be three times as long along the last index axis."""
    del random
    return replace(volume, ijk_to_lps=volume.ijk_to_lps @ np.diag([1.0, 1.0, 3.0, 1.0]))


ARTEFACTS: Mapping[str, Artefact] = {
    "spikes": spiked,
    "inverted contrast": inverted,
    "ghosting": ghosted,
    "wrong spacing": misspaced,
}
"""All faults by the name used in reports."""
