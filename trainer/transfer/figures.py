"""Pictures of a transfer experiment, drawn from its findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from trainer.metrics.lesion_detection import OperatingPoint, attainable
from trainer.metrics.multiple_comparison import holm, p_different
from trainer.report.curves import COLOURS, FOREIGN_COLOUR, INK, SOFT, new_figure, plain
from trainer.transfer.settings import SCRATCH

LARGEST_RATE = 8.0
SURE = 0.05


def gain_map(targets: Sequence[Mapping[str, Any]]) -> Figure:
    """Heat map of the mean gain in Dice points over random initialisation, sources by targets.

    A frame marks segmentation in the target's domain, an asterisk a gain that differs from 0 by Student's test over
    seeds (p at most 0.05, corrected for the number of sources: Holm).
    """
    sources = list(dict.fromkeys(r["source"] for t in targets for r in t["rows"] if r["source"] != SCRATCH))
    values = np.full((max(1, len(sources)), len(targets)), np.nan)
    figure = new_figure(2.6 + 1.5 * len(targets), 1.6 + 0.42 * max(1, len(sources)))
    axes = figure.subplots()
    for column, target in enumerate(targets):
        sure = _sure_gains(target["rows"])
        for row in (row for row in target["rows"] if row["source"] in sources):
            place = sources.index(row["source"])
            gain = row["gain"]
            if gain["value"] is None or np.isnan(gain["value"]):
                continue
            values[place, column] = 100 * gain["value"]
            text = f"{100 * gain['value']:+.1f}{'*' if row['source'] in sure else ''}"
            axes.text(column, place, text, ha="center", va="center", fontsize=9, color=INK)
            if row["matched"]:
                axes.add_patch(_frame(column, place))
    limit = max(1.0, float(np.nanmax(np.abs(values)))) if np.isfinite(values).any() else 1.0
    image = axes.imshow(values, cmap="RdBu", vmin=-1.6 * limit, vmax=1.6 * limit, aspect="auto")
    axes.set_xticks(range(len(targets)), [plain(t["name"]) for t in targets], fontsize=9)
    axes.set_yticks(range(len(sources)), [plain(name) for name in sources], fontsize=9)
    axes.set_title("Gain over random initialisation, Dice points", fontsize=10, color=INK)
    figure.colorbar(image, ax=axes, shrink=0.8)
    return figure


def detection_curves(targets: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Free-response curves of every source, one panel per target with lesions; None when there is none."""
    with_lesions = [t for t in targets if any(_curve(row) for row in t["rows"])]
    if not with_lesions:
        return None
    figure = new_figure(5.2 * len(with_lesions), 4.4)
    panels: Sequence[Axes] = np.atleast_1d(figure.subplots(1, len(with_lesions)))  # type: ignore[assignment]
    # A source keeps its colour in every panel, though not every source is in every one.
    sources = list(dict.fromkeys(row["source"] for target in with_lesions for row in target["rows"]))
    handles: dict[str, Artist] = {}
    for axes, target in zip(panels, with_lesions, strict=True):
        for row in (row for row in target["rows"] if _curve(row)):
            points = attainable(_curve(row))
            (handles[row["source"]],) = axes.step(
                [0.0, *(p.false_positives_per_image for p in points), LARGEST_RATE],
                [0.0, *(p.sensitivity for p in points), points[-1].sensitivity],
                where="post",
                color=SOFT if row["source"] == SCRATCH else COLOURS[sources.index(row["source"]) % len(COLOURS)],
                linestyle="--" if row["source"] == SCRATCH else "-",
                linewidth=2.4 if row["matched"] else 1.3,
            )
        axes.set(xlim=(0, LARGEST_RATE), ylim=(0, 1), xlabel="false positives per image", ylabel="lesions found")
        axes.set_title(plain(target["name"]), fontsize=10, color=INK)
    shown = [name for name in sources if name in handles]
    figure.legend(
        [handles[name] for name in shown], [plain(name) for name in shown],
        loc="outside lower center", ncols=4, fontsize=8, frameon=False,
    )  # fmt: skip
    return figure


def prediction_scatter(prediction: Mapping[str, Any], predictor: str) -> Figure:
    """Measured gain against what was foreseen, a colour per target."""
    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    names = list(dict.fromkeys(pair["target"] for pair in prediction["pairs"]))
    for number, name in enumerate(names):
        own = [p for p in prediction["pairs"] if p["target"] == name and p["predictors"].get(predictor) is not None]
        colour = COLOURS[number % len(COLOURS)]
        x, y = [p["predictors"][predictor] for p in own], [100 * p["gain"] for p in own]
        axes.scatter(x, y, color=colour, s=26, label=plain(name))
        for pair, a, b in zip(own, x, y, strict=True):
            axes.annotate(
                plain(pair["source"]), (a, b), fontsize=6, color=SOFT, xytext=(3, 2), textcoords="offset points"
            )
    axes.axhline(0.0, color=SOFT, linewidth=0.8, linestyle="--")
    axes.set(xlabel=f"foreseen ({predictor})", ylabel="gain, Dice points")
    if names:
        axes.legend(fontsize=7, frameon=False)
    return figure


def _sure_gains(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Names of the sources whose gain differs from 0, whatever the number of sources that were tried."""
    tried = {row["source"]: [v for v in row["gain_by_seed"].values() if v is not None] for row in rows}
    tried = {name: values for name, values in tried.items() if name != SCRATCH and len(values) > 1}
    corrected = holm([p_different(values) for values in tried.values()])
    return {name for name, p in zip(tried, corrected, strict=True) if p <= SURE}


def _curve(row: Mapping[str, Any]) -> list[OperatingPoint]:
    """The points of a row; none where there was no lesion to find."""
    return [OperatingPoint(**p) for p in row.get("free_response", ()) if None not in p.values()]


def _frame(column: int, row: int) -> Rectangle:
    return Rectangle((column - 0.47, row - 0.44), 0.94, 0.88, fill=False, edgecolor=FOREIGN_COLOUR, linewidth=2.0)
