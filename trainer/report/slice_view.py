"""Pictures of slices: outlines of the labels, a heatmap of the uncertainty and the verdict in words and colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from trainer.report.curves import FOREIGN_COLOUR, INK, SOFT, new_figure, plain

GOOD_COLOUR = "#1a7f37"
CT_WINDOW_HU = (-160.0, 300.0)
HEATMAP = "inferno"


@dataclass(frozen=True)
class LabelStyle:
    """How a label is drawn: value in the label map, name for people, colour as 0-255 red, green, blue."""

    value: int
    name: str
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class CaseView:
    """Everything that is shown of one image.

    Attributes:
        title: what the image is.
        volume: the image.
        labels: integer ``(Z, Y, X)`` on the volume's grid.
        uncertainty: float32 ``(Z, Y, X)`` in [0, 1].
        styles: one per label.
        verdict: of the out-of-distribution check.
        known_as: the nearest task, for people.
        note: a short extra line, such as the Dice reached.
        plane: of the slice shown; ``axial`` is across the third canonical axis (the stack itself for thick slices).
    """

    title: str
    volume: Volume
    labels: NDArray[np.integer]
    uncertainty: NDArray[np.float32]
    styles: tuple[LabelStyle, ...]
    verdict: Verdict
    known_as: str
    note: str = ""
    plane: Literal["axial", "coronal"] = "axial"


@dataclass(frozen=True)
class Slice:
    """One displayed slice with its maps, rows downwards.

    Attributes:
        image: ``(rows, columns)`` grey values.
        labels: ``(rows, columns)``.
        uncertainty: ``(rows, columns)``.
        aspect: height of a pixel over its width.
    """

    image: NDArray[np.floating]
    labels: NDArray[np.integer]
    uncertainty: NDArray[np.floating]
    aspect: float


def cut(view: CaseView) -> Slice:
    """The slice that shows most of the labels (the middle one when out of distribution), patient upright."""
    order = canonical_reorientation(view.volume)
    image, labels, uncertainty = (
        np.asarray(order.apply(array)) for array in (view.volume.voxels, view.labels, view.uncertainty)
    )
    z_mm, y_mm, x_mm = order.spacing_zyx_mm(view.volume)
    axis, aspect = (0, y_mm / x_mm) if view.plane == "axial" else (1, z_mm / x_mm)
    # Labels of a foreign image are meaningless; following them could end in an empty slice.
    index = labels.shape[axis] // 2 if view.verdict.is_ood else best_slice(labels, axis)
    planes = [np.take(array, index, axis=axis) for array in (image, labels, uncertainty)]
    if view.plane == "coronal":
        planes = [array[::-1] for array in planes]
    return Slice(planes[0], planes[1], planes[2], aspect)


def best_slice(labels: NDArray[np.integer], axis: int) -> int:
    """Index of the slice with most labels, then with the largest labelled area; the middle one without any label."""
    moved = np.moveaxis(labels, axis, 0)
    values = [value for value in np.unique(labels) if value]
    if not values:
        return int(moved.shape[0] // 2)
    # The geometric mean of the areas prefers a slice where every label is well visible.
    areas = np.stack([np.count_nonzero(moved == value, axis=(1, 2)) for value in values])
    return int(np.argmax(np.log1p(areas).sum(axis=0)))


def grey_window(volume: Volume) -> tuple[float, float]:
    """Black and white level: a soft-tissue window for CT, percentiles for everything else."""
    low, high = (float(value) for value in np.percentile(volume.voxels, (1, 99.5)))
    if low <= -900 and high < 4000:
        return CT_WINDOW_HU
    return low, max(high, low + 1e-6)


def draw_image(axes: Axes, shown: Slice, window: tuple[float, float]) -> None:
    """The grey image alone."""
    axes.imshow(shown.image, cmap="gray", vmin=window[0], vmax=window[1], aspect=shown.aspect, interpolation="bicubic")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_labels(axes: Axes, shown: Slice, styles: Sequence[LabelStyle]) -> None:
    """A light tint and an outline of every label in the slice, over what is already drawn."""
    for style in styles:
        mask = shown.labels == style.value
        if mask.any():
            red, green, blue = (channel / 255 for channel in style.colour)
            tint = np.zeros((*mask.shape, 4))
            tint[mask] = (red, green, blue, 0.22)
            axes.imshow(tint, aspect=shown.aspect, interpolation="nearest")
            axes.contour(mask.astype(float), levels=[0.5], colors=[(red, green, blue)], linewidths=1.5)


def overview_figure(views: Sequence[CaseView]) -> Figure:
    """One row per image: the image, the segmentation, the uncertainty, and the verdict.

    Args:
        views: at least one.
    """
    rows = len(views)
    figure = new_figure(12.6, 0.5 + 2.95 * rows)
    grid = figure.subplots(rows, 4, squeeze=False, gridspec_kw={"width_ratios": [1, 1, 1, 0.95]})
    for column, title in enumerate(("Image", "Segmentation", "Uncertainty", "Is this image known?")):
        grid[0, column].set_title(title, fontsize=13, color=INK, pad=10, fontweight="bold")
    for line, view in zip(grid, views, strict=True):
        shown, window = cut(view), grey_window(view.volume)
        for axes in line[:3]:
            draw_image(axes, shown, window)
        line[0].set_ylabel(plain(view.title), fontsize=11, color=INK)
        draw_labels(line[1], shown, view.styles)
        line[2].imshow(
            shown.uncertainty,
            cmap=HEATMAP,
            vmin=0,
            vmax=1,
            aspect=shown.aspect,
            alpha=np.clip(0.25 + 1.5 * shown.uncertainty, 0, 0.92),
        )
        _draw_verdict(line[3], view)
    # The heatmap is see-through where the model is sure; its colour bar must not be.
    scale = ScalarMappable(Normalize(0, 1), HEATMAP)
    bar = figure.colorbar(scale, ax=list(grid[:, 2]), location="right", shrink=0.5, aspect=45, pad=0.02)
    bar.set_label("0 sure, 1 as unsure as can be", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def _draw_verdict(axes: Axes, view: CaseView) -> None:
    """Verdict in words, a gauge of the score against the threshold, and the legend of the labels."""
    verdict = view.verdict
    colour = FOREIGN_COLOUR if verdict.is_ood else GOOD_COLOUR
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    words = "OUT OF DISTRIBUTION" if verdict.is_ood else "In distribution"
    advice = "Do not trust the segmentation." if verdict.is_ood else plain(f"Recognised as: {view.known_as}")
    axes.text(0.02, 0.93, words, fontsize=12.5, fontweight="bold", color=colour, va="top")
    axes.text(0.02, 0.80, advice, fontsize=9, color=INK, va="top")
    _draw_gauge(axes, verdict, colour)
    axes.text(0.02, 0.40, plain(view.note), fontsize=9, color=SOFT, va="top")
    if not verdict.is_ood:
        handles = [Patch(color=f"#{bytes(style.colour).hex()}", label=plain(style.name)) for style in view.styles]
        axes.legend(handles=handles, loc="lower left", fontsize=8.5, frameon=False, ncols=2, handlelength=1.0,
                    bbox_to_anchor=(-0.02, 0.0))  # fmt: skip


def _draw_gauge(axes: Axes, verdict: Verdict, colour: str) -> None:
    # Logarithmic, with the threshold in the middle: foreign images are often many times farther away.
    reach = np.log(8.0)
    place = float(np.clip(0.5 + 0.5 * np.log(max(verdict.score, 1e-9) / verdict.threshold) / reach, 0.02, 0.98))
    axes.plot([0.02, 0.5], [0.58, 0.58], color=GOOD_COLOUR, linewidth=5, alpha=0.3, solid_capstyle="butt")
    axes.plot([0.5, 0.98], [0.58, 0.58], color=FOREIGN_COLOUR, linewidth=5, alpha=0.3, solid_capstyle="butt")
    axes.plot([0.5, 0.5], [0.53, 0.63], color=INK, linewidth=1.4)
    axes.plot([place], [0.58], marker="o", markersize=9, color=colour)
    axes.text(
        0.02, 0.49, f"distance {verdict.score:.2f}, limit {verdict.threshold:.2f}", fontsize=8, color=SOFT, va="top"
    )
