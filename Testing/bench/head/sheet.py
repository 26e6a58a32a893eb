"""A sheet of pictures: every real head with what a model finds: ``python -m Testing.bench.head.sheet``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.geometry import SUPERIOR, canonical_reorientation
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.bench.head.real_head import RealHead, read_heads
from trainer.report.curves import INK, new_figure
from trainer.report.slice_view import grey_window

PER_ROW = 4
OUTLINE = "#ff3b30"


@dataclass(frozen=True)
class Look:
    """One head and its outline.

    Attributes:
        title: what it is.
        image, labels: ``(Z, Y, X)`` to the head, the back and the left.
        spacing_zyx_mm: voxel size.
        window: black and white level.
    """

    title: str
    image: NDArray[np.floating]
    labels: NDArray[np.integer]
    spacing_zyx_mm: tuple[float, float, float]
    window: tuple[float, float]


def look_at(head: RealHead, predictor: Predictor, task: str) -> Look:
    """Segment a head as the command line does."""
    volume = read_image(head.path)
    result = predictor.segment(volume, task)
    verdict = "known" if not result.verdict.is_ood else "foreign"
    title = f"{head.path.name.removesuffix('.nii.gz')}\n{head.modality}, {verdict} ({result.verdict.score:.1f})"
    image, labels, spacing = upright(volume, result.labels)
    return Look(title, image, labels, spacing, grey_window(volume))


def upright(
    volume: Volume, labels: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.integer], tuple[float, float, float]]:
    """Image and labels to the head, the back and the left, whatever the plane of the slices, and the voxel size."""
    order = canonical_reorientation(volume)
    spacing = order.spacing_zyx_mm(volume)
    turned = [np.asarray(order.apply(array)) for array in (volume.voxels, labels)]
    if order.across != SUPERIOR:
        steps = volume.ijk_to_lps[:3, :3] / np.asarray(volume.spacing_mm)
        axes = [2 - int(np.argmax(np.abs(steps[body]))) for body in (2, 1, 0)]
        runs = [float(steps[body, 2 - axis]) for body, axis in zip((2, 1, 0), axes, strict=True)]
        back = tuple(slice(None, None, -1) if run < 0 else slice(None) for run in runs)
        turned = [np.transpose(array, axes)[back] for array in (volume.voxels, labels)]
        z, y, x = (volume.spacing_mm[2 - axis] for axis in axes)
        spacing = (z, y, x)
    return turned[0], turned[1], spacing


def sheet(looks: Sequence[Look]) -> Figure:
    """Three planes of each head, through the middle of what was found."""
    rows = -(-len(looks) // PER_ROW)
    figure = new_figure(4.2 * PER_ROW, 1.75 * rows)
    grid = figure.subplots(rows, 3 * PER_ROW, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, look in enumerate(looks):
        row, column = divmod(number, PER_ROW)
        for plane in range(3):
            _draw(grid[row, 3 * column + plane], look, plane)
        grid[row, 3 * column + 1].set_title(look.title, fontsize=6, color=INK)
    return figure


def _draw(axes: Axes, look: Look, plane: int) -> None:
    found = np.flatnonzero(look.labels.any(axis=tuple(a for a in range(3) if a != plane)))
    index = int(np.median(found)) if found.size else look.image.shape[plane] // 2
    image, labels = (np.take(array, index, axis=plane) for array in (look.image, look.labels))
    if plane:  # the head is up
        image, labels = image[::-1], labels[::-1]
    rows, columns = np.delete(np.asarray(look.spacing_zyx_mm), plane)
    aspect = rows / columns
    axes.imshow(image, cmap="gray", vmin=look.window[0], vmax=look.window[1], aspect=aspect, interpolation="bilinear")
    for value in np.unique(labels[labels > 0]):
        axes.contour(labels == value, levels=[0.5], colors=OUTLINE, linewidths=0.7)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("heads", type=Path, help="folder with heads.csv")
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG or JPEG file")
    parser.add_argument("--only", nargs="*", default=(), help="words of file names")
    options = parser.parse_args()
    predictor = Predictor.load(options.model)
    heads = [h for h in read_heads(options.heads) if not options.only or any(w in h.path.name for w in options.only)]
    figure = sheet([look_at(head, predictor, options.task) for head in heads])
    figure.savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()
