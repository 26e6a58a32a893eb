"""Do the channels of an image belong together? Grid, kind of values, and whether two of them were swapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.preparation import spread_sample
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.native_output import captured_native_output
from trainer.layout.label_grid import grid_differences

ChannelLooks = tuple[NDArray[np.float64], ...]
"""By channel, what its values look like: see `look_of`."""
ChannelDefect = tuple[Path, str, str, bool]
"""File, what is wrong, what to do, and whether it is only a warning."""

QUANTILES = np.linspace(0.05, 0.95, 19)
SAMPLE_VOXELS = 200_000
# From fewer others nobody knows what a channel usually looks like.
LEAST_OTHERS = 2
# So many times nearer must two channels be to each other's usual look than to their own.
CLEARLY = 2.0
_SAME_GRID = "Resample it to the grid of the first channel"


def channel_defects(
    first: Volume, paths: Sequence[Path], names: Sequence[str]
) -> tuple[list[ChannelDefect], ChannelLooks]:
    """What does not fit in the second and later channels of an image, and what all channels look like.

    Args:
        first: the first channel.
        paths: files of all channels.
        names: of all channels.
    """
    found: list[ChannelDefect] = []
    looks, seen, kind = [look_of(first.voxels)], [(names[0], first)], type_of(paths[0])
    for path, name in zip(paths[1:], names[1:], strict=False):
        try:
            other = read_image(path)
        except InputError as error:
            found.append((path, f"channel {name}: {error.what}", error.remedy, False))
            continue
        found += [(path, f"channel {name}: {text}", "Check the export", True) for text in other.warnings]
        found += _constant(path, name, other.voxels)
        what = f"the channel {name}"
        differences = grid_differences(first, other.voxels, other.ijk_to_lps, what)
        found += [(path, text, _SAME_GRID, False) for text in differences]
        if (own := type_of(path)) != kind:
            text = f"{what} is stored as {own or 'an unknown type'}, {names[0]} as {kind or 'an unknown type'}"
            found.append((path, text, "Look whether they were exported alike", True))
        found += _same_voxels(path, name, other, seen)
        looks.append(look_of(other.voxels))
        seen.append((name, other))
    return found, tuple(looks)


def slice_defects(
    volume: Volume, paths: Sequence[Path], names: Sequence[str]
) -> tuple[list[ChannelDefect], ChannelLooks]:
    """What does not fit in the second and later channels of a slice, which lie on one grid, and what all look like.

    Args:
        volume: of all channels.
        paths, names: as for `channel_defects`.
    """
    further = zip(paths[1:], names[1:], volume.further, strict=True)
    found = [defect for path, name, voxels in further for defect in _constant(path, name, voxels)]
    return found, tuple(look_of(voxels) for voxels in volume.channels)


def _constant(path: Path, name: str, voxels: NDArray[np.float32]) -> Iterator[ChannelDefect]:
    if float(voxels.min()) == float(voxels.max()):
        yield path, f"the channel {name} is constant", "Give an image that shows something", False


def type_of(path: Path) -> str:
    """The type of the stored values in words; empty where the header cannot be read."""
    reader = sitk.ImageFileReader()
    try:
        with captured_native_output():
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
            return str(sitk.GetPixelIDValueAsString(reader.GetPixelID()))
    except RuntimeError:
        return ""


def _same_voxels(path: Path, name: str, other: Volume, seen: Sequence[tuple[str, Volume]]) -> Iterator[ChannelDefect]:
    for earlier, volume in seen:
        if volume.shape == other.shape and np.array_equal(volume.voxels, other.voxels):
            yield path, f"the channel {name} has the same voxels as {earlier}", "Give each channel its own image", False


def look_of(voxels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Values of an image at fixed shares of what is not its lowest value, from 0 (darkest) to 1 (brightest).

    Which contrast an image has shows in how its values are spread, whatever their unit.
    """
    flat = spread_sample(voxels, SAMPLE_VOXELS)
    shown = flat[flat > flat.min()]
    if not len(shown):
        return np.zeros(len(QUANTILES))
    low, high = np.percentile(shown, (0.5, 99.5))
    values = np.quantile(shown, QUANTILES)
    return np.asarray(np.clip((values - low) / (high - low or 1.0), 0.0, 1.0), dtype=np.float64)


def swapped_cases(looks: Sequence[ChannelLooks]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Numbers of the cases of a dataset of which two channels look like each other's usual one, and which two.

    Args:
        looks: of each case.
    """
    if len(looks) <= LEAST_OTHERS:
        return
    values = np.stack([np.stack(own) for own in looks])
    for number, own in enumerate(values):
        usual = np.median(np.delete(values, number, axis=0), axis=0)
        distances = np.linalg.norm(own[:, None] - usual[None], axis=2)
        for first, second in combinations(range(len(own)), 2):
            as_named = distances[first, first] + distances[second, second]
            as_swapped = distances[first, second] + distances[second, first]
            if CLEARLY * as_swapped < as_named:
                yield number, (first, second)
