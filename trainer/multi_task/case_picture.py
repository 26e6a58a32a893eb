"""Pictures of single cases: the image with the outlines of the truth and of the results that are compared."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread, imsave
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.weights_licence import SHARE_ALIKE, licence_of_data
from trainer.data.dataset import Dataset
from trainer.experiment.matrix import MatrixResult
from trainer.identity.fingerprint import fingerprint
from trainer.multi_task.contender import Contender
from trainer.multi_task.design import Design
from trainer.multi_task.settings import MultiTaskSettings
from trainer.multi_task.shown_case import Compared, compared_runs, dice_by_case, shown_cases
from trainer.multi_task.steps import contender_of
from trainer.origin.terms import licence_of, training_data
from trainer.report.curves import INK, new_figure, plain
from trainer.report.report import png_bytes, write_whole
from trainer.report.slice_view import Slice, best_slice, draw_image, grey_window

FOLDER, SMALL = "cases", "small"
"""Of the pictures in the experiment's folder, and in it of those that may be published."""
TRUTH_COLOUR, ARM_COLOURS = "#009E73", ("#E69F00", "#56B4E9")
PANEL_WIDTH, TALLEST, WORDS_HEIGHT = 3.5, 6.0, 1.6
"""Inches: of a panel, of its image at most, and of title and legend."""
DRAWN_BY = 2
"""Changes whenever pictures that an earlier version drew must be drawn again."""


@dataclass(frozen=True)
class Panel:
    """One case.

    Attributes:
        title: of the panel.
        volume: the image.
        truth: integer ``(Z, Y, X)``.
        results: the same by arm.
    """

    title: str
    volume: Volume
    truth: NDArray[np.integer]
    results: Mapping[str, NDArray[np.integer]]


def draw_cases(
    design: Design, settings: MultiTaskSettings, result: MatrixResult, folder: Path
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Draw the best, the median and the worst case of every dataset; what is drawn already stays.

    Args:
        design, settings: of the experiment.
        result: of its runs, whose networks are asked once more.
        folder: of the pictures.

    Returns:
        For each dataset ``dataset``, ``picture`` (file name), ``labelled_groups``, ``seed``, ``may_be_published`` and
        ``cases`` (``place``, ``case``, ``dice`` by arm); and why there is no picture, by dataset.
    """
    opened = lru_cache(maxsize=2)(contender_of)
    drawn, failures = [], {}
    for name, dataset in design.datasets.items():
        compared = compared_runs(design, settings, name, result.metrics)
        if compared is None:
            continue
        try:
            entry = _drawn(dataset, compared, result, folder, opened)
        except MtsError as error:
            failures[name] = str(error)
            continue
        if entry["cases"]:
            drawn.append(entry)
    _keep_only(folder, [entry["picture"] for entry in drawn])
    return drawn, failures


def may_be_published(dataset: Dataset) -> bool:
    """Whether pictures of a dataset's images may go to others: as its released weights, and not under a licence that
    forbids changes or commerce."""
    terms = (dataset.name, licence_of(dataset), training_data(dataset).released_weights_may_use)
    licence = licence_of_data([terms])
    return not licence.refusals() and licence.strictest[0].strictness <= SHARE_ALIKE


def case_figure(panels: Sequence[Panel], arms: Sequence[str]) -> Figure:
    """The cases side by side.

    Args:
        panels: at least one.
        arms: whose results each panel has, in this order.
    """
    height = max(_height(panel.volume) for panel in panels)
    figure = new_figure(PANEL_WIDTH * len(panels), min(PANEL_WIDTH * height, TALLEST) + WORDS_HEIGHT)
    # Titles of several lines would touch the border.
    figure.set_layout_engine("constrained", h_pad=0.15)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, panel, arms)
    colours = {"truth": TRUTH_COLOUR, **dict(zip(arms, ARM_COLOURS, strict=False))}
    handles = [Line2D([], [], color=colour, linewidth=2, label=plain(words)) for words, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False)
    return figure


def halved(png: bytes) -> bytes:
    """A picture of half as many rows and columns, as a PNG file."""
    pixels = imread(io.BytesIO(png), format="png")
    rows, columns = (n // 2 for n in pixels.shape[:2])
    blocks = pixels[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, -1)
    buffer = io.BytesIO()
    imsave(buffer, blocks.mean(axis=(1, 3)), format="png", metadata={"Software": ""})
    return buffer.getvalue()


def _height(volume: Volume) -> float:
    """Of a slice over its width, in millimetres."""
    order = canonical_reorientation(volume)
    _, rows, columns = (volume.shape[axis] for axis in order.axes)
    _, y_mm, x_mm = order.spacing_zyx_mm(volume)
    return float(rows * y_mm / (columns * x_mm))


def _drawn(
    dataset: Dataset, compared: Compared, result: MatrixResult, folder: Path, opened: Callable[[Path], Contender]
) -> dict[str, Any]:
    *_, ours = compared.runs
    dice = dice_by_case({arm: result.metrics[run]["datasets"][dataset.name] for arm, run in compared.runs.items()})
    shown = shown_cases({case: own[ours] for case, own in dice.items()})
    rows: list[dict[str, Any]] = [{"place": place, "case": case, "dice": dice[case]} for place, case in shown.items()]
    folders = {arm: result.folders[run] for arm, run in compared.runs.items()}
    mark = fingerprint([DRAWN_BY, rows, {arm: own.name for arm, own in folders.items()}])[:10]
    picture = f"{dataset.name}.{mark}.png"
    if rows and not all((place / picture).is_file() for place in (folder, folder / SMALL)):
        by_name = {case.name: case for case in dataset.cases}
        panels = []
        for row in rows:
            volume, truth = by_name[row["case"]].read_pair(dataset.labels)
            results = {arm: opened(own).answer(volume, dataset.name)[0] for arm, own in folders.items()}
            panels.append(Panel(_title(row), volume, truth, results))
        png = png_bytes(case_figure(panels, list(compared.runs)))
        write_whole(folder / picture, png)
        write_whole(folder / SMALL / picture, halved(png))
    return {
        "dataset": dataset.name,
        "picture": picture,
        "labelled_groups": compared.labelled_groups,
        "seed": compared.seed,
        "fold": compared.fold,
        "may_be_published": may_be_published(dataset),
        "cases": rows,
    }


def _title(row: Mapping[str, Any]) -> str:
    values = "\n".join(f"{arm} {'–' if dice is None else f'{dice:.3f}'}" for arm, dice in row["dice"].items())
    return f"{row['place']}\n{values}"


def _draw(axes: Axes, panel: Panel, arms: Sequence[str]) -> None:
    """The slice with most of the truth, upright, in millimetres; where there is no truth, with most of the results."""
    order = canonical_reorientation(panel.volume)
    maps = [np.asarray(order.apply(one)) for one in (panel.volume.voxels, panel.truth)]
    _, y_mm, x_mm = order.spacing_zyx_mm(panel.volume)
    results = {arm: np.asarray(order.apply(panel.results[arm])) for arm in arms}
    wanted = maps[1] if maps[1].any() else np.max([one > 0 for one in results.values()], axis=0).astype(np.uint8)
    index = best_slice(wanted, axis=0)
    image, truth = (one[index] for one in maps)
    nothing = np.zeros(truth.shape, dtype=np.float32)
    draw_image(axes, Slice(image, truth, nothing, y_mm / x_mm), grey_window(panel.volume))
    _outline(axes, truth, TRUTH_COLOUR, 2.2)
    for arm, colour in zip(arms, ARM_COLOURS, strict=False):
        _outline(axes, results[arm][index], colour, 1.2)
    axes.set_title(plain(panel.title), fontsize=9, color=INK)


def _outline(axes: Axes, labels: NDArray[np.integer], colour: str, width: float) -> None:
    for value in np.unique(labels):
        # Of a label that fills the slice there is no border to draw.
        if value and not (labels == value).all():
            axes.contour((labels == value).astype(float), levels=[0.5], colors=[colour], linewidths=width)


def _keep_only(folder: Path, pictures: Sequence[str]) -> None:
    """Remove what was drawn of other cases or runs."""
    for old in (*folder.glob("*.png"), *(folder / SMALL).glob("*.png")):
        if old.name not in pictures:
            old.unlink()
