"""Pictures of evaluated cases: the image, the truth, the result and where the model is unsure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset
from trainer.evaluation.case_result import CaseResult, compared_masks, ranked
from trainer.layout.case import Case
from trainer.report.curves import INK, new_figure, plain
from trainer.report.progress import Progress
from trainer.report.slice_view import HEATMAP, LabelStyle, Slice, best_slice, draw_image, draw_labels, grey_window

COLOURS = ((231, 84, 72), (78, 190, 112), (70, 140, 240), (250, 200, 60), (190, 110, 220), (70, 200, 210))
COLUMNS = ("Image", "Truth", "Result", "Uncertainty")
JPEG_QUALITY = 85


@dataclass(frozen=True)
class ShownCase:
    """One row of a picture.

    Attributes:
        title: which case, and why it is shown.
        volume: the image.
        truth, result: number of the label in the dataset's order, 0 elsewhere, ``(Z, Y, X)``.
        uncertainty: float32 ``(Z, Y, X)`` in [0, 1].
    """

    title: str
    volume: Volume
    truth: NDArray[np.uint16]
    result: NDArray[np.uint16]
    uncertainty: NDArray[np.float32]


def worth_showing(results: Sequence[CaseResult], worst: int) -> list[tuple[str, CaseResult]]:
    """The typical case of a dataset (the median Dice, of two the lower) and the worst ones, each with the word for it.

    Args:
        results: of one dataset.
        worst: how many of the worst; fewer where there are no more cases.
    """
    order = ranked(results)
    if not order:
        return []
    middle = (len(order) - 1) // 2
    chosen = [("typical", order[middle])]
    return chosen + [("worst" if not n else f"{n + 1}. worst", r) for n, r in enumerate(order[:worst]) if n != middle]


def write_pictures(
    predictor: Predictor,
    chosen: Sequence[tuple[Dataset, Case]],
    results: Sequence[CaseResult],
    task: str,
    worst: int,
    folder: Path,
    stream: TextIO | None = None,
) -> dict[str, str]:
    """Write ``DATASET.jpg`` with a row for the typical case and each of the worst ones.

    They are segmented once more: of all the others no maps have to be kept for it.

    Args:
        predictor: that gave the results.
        chosen: dataset and case of each result.
        results: evaluated cases.
        task: ``auto`` or ``dataset``, as for the results.
        worst: how many of the worst cases of a dataset.
        folder: is made.
        stream: for the progress.

    Returns:
        File name by dataset.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = {(dataset.name, case.name): (dataset, case) for dataset, case in chosen}
    rows = {
        name: worth_showing([r for r in results if r.dataset == name], worst)
        for name in dict.fromkeys(r.dataset for r in results)
    }
    progress, done = Progress(sum(map(len, rows.values())), "drawing", stream), 0
    written: dict[str, str] = {}
    for name, of_dataset in rows.items():
        shown = []
        for word, result in of_dataset:
            shown.append(_shown(predictor, *sources[name, result.case], result, word, task))
            progress.update(done := done + 1)
        if shown:
            written[name] = f"{name}.jpg"
            write_jpeg(cases_figure(shown, sources[name, of_dataset[0][1].case][0].labels), folder / written[name])
    return written


def write_jpeg(figure: Figure, path: Path) -> None:
    """Write a figure as a JPEG file, whole or not at all."""
    FigureCanvasAgg(figure)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="jpeg", dpi=80, pil_kwargs={"quality": JPEG_QUALITY, "optimize": True})


def cases_figure(rows: Sequence[ShownCase], labels: Mapping[int, str]) -> Figure:
    """One row per case.

    Args:
        rows: at least one.
        labels: the dataset's, whose order gives the colours.
    """
    styles = [LabelStyle(n, name, COLOURS[(n - 1) % len(COLOURS)]) for n, name in enumerate(labels.values(), 1)]
    figure = new_figure(12.0, 0.4 + 3.0 * len(rows))
    grid = figure.subplots(len(rows), len(COLUMNS), squeeze=False)
    for axes, title in zip(grid[0], COLUMNS, strict=True):
        axes.set_title(title, fontsize=13, color=INK, pad=8, fontweight="bold")
    for line, row in zip(grid, rows, strict=True):
        truth, result = _cut(row, row.truth), _cut(row, row.result)
        for axes in line:
            draw_image(axes, truth, grey_window(row.volume))
        line[0].set_ylabel(plain(row.title), fontsize=10, color=INK)
        draw_labels(line[1], truth, styles)
        draw_labels(line[2], result, styles)
        unsure = truth.uncertainty
        heat = np.clip(0.25 + 1.5 * unsure, 0, 0.92)
        line[3].imshow(unsure, cmap=HEATMAP, vmin=0, vmax=1, aspect=truth.aspect, alpha=heat)
    return figure


def _cut(row: ShownCase, labels: NDArray[np.uint16]) -> Slice:
    """The axial slice that shows most of truth and result together, patient upright."""
    order = canonical_reorientation(row.volume)
    image, either, shown, unsure = (
        np.asarray(order.apply(array))
        for array in (row.volume.voxels, np.maximum(row.truth, row.result), labels, row.uncertainty)
    )
    _, y_mm, x_mm = order.spacing_zyx_mm(row.volume)
    index = best_slice(either, 0)
    return Slice(image[index], shown[index], unsure[index], y_mm / x_mm)


def _shown(predictor: Predictor, dataset: Dataset, case: Case, measured: CaseResult, word: str, task: str) -> ShownCase:
    volume, truth = case.read_pair(dataset.labels)
    result = predictor.segment(volume, dataset.name if task == "dataset" else "auto")
    drawn = np.zeros((2, *truth.shape), dtype=np.uint16)
    masks = compared_masks(predictor.manifest.tasks, result, truth, dataset.labels)
    for number, (_, own, other) in enumerate(masks, 1):
        drawn[0][other], drawn[1][own] = number, number
    title = f"{word}: {measured.case}\nDice {measured.mean_dice:.2f}"
    if measured.task != dataset.name:
        title += ", taken for\n" + measured.task
    if measured.is_ood:
        title += "\nflagged: out of distribution"
    return ShownCase(title, volume, drawn[0], drawn[1], result.uncertainty)
