"""The spectrum of an image against the band of the nearest task: kept on the volume, drawn in a chart on request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.scene.result_record import current_verdict
from MultiTaskSegLib.task_list import short_name
from OODCheckLib.chart import BLUE_RGB, VERMILION_RGB, Titles, add_series, add_table, new_chart, set_ranges, short_title

SPECTRUM_ATTRIBUTE = f"{PREFIX}OOD.Spectrum"
KIND = "spectrum"
CURVES = ("low", "middle", "high", "image")
DIGITS = 6
HEADROOM = 0.4  # of the height of the curves, for the legend above them


def keep_spectrum(
    volume_node: slicer.vtkMRMLScalarVolumeNode, band: Mapping[str, Any] | None, verdict: Verdict
) -> None:
    """Write the band of one layer onto the volume whose verdict it explains; without one, what was there goes.

    Args:
        volume_node: the image.
        band: ``layer``, ``image``, ``low``, ``middle`` and ``high``, see `SpectrumBand`.
        verdict: of the same check.
    """
    if band is None:
        volume_node.RemoveAttribute(SPECTRUM_ATTRIBUTE)
        return
    curves = {name: [float(f"{value:.{DIGITS}g}") for value in band[name]] for name in CURVES}
    kept = {"layer": band["layer"], "task": verdict.nearest_task, "score": verdict.score, **curves}
    volume_node.SetAttribute(SPECTRUM_ATTRIBUTE, json.dumps(kept))


def kept_spectrum(volume_node: slicer.vtkMRMLScalarVolumeNode) -> dict[str, Any] | None:
    """What `keep_spectrum` wrote, unless the verdict that the volume carries now is of another check."""
    text, verdict = volume_node.GetAttribute(SPECTRUM_ATTRIBUTE), current_verdict(volume_node)
    if text is None or verdict is None:
        return None
    kept: dict[str, Any] = json.loads(text)
    return kept if (kept["task"], kept["score"]) == (verdict.nearest_task, verdict.score) else None


def spectrum_chart(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLPlotChartNode | None:
    """Draw the spectrum of a volume in the scene's one chart for spectra; None where there is none to draw."""
    kept = kept_spectrum(volume_node)
    if kept is None:
        return None
    x_title = _("singular value, largest first (band of {task})").format(task=short_name(kept["task"]))
    title = _("{image}: {layer}").format(image=short_title(volume_node.GetName()), layer=kept["layer"])
    chart = new_chart(volume_node.GetScene(), KIND, Titles(title, x_title, _("logarithm of the value")))
    numbers = [float(number) for number in range(1, len(kept["image"]) + 1)]
    table = add_table(chart, {"number": numbers, **{name: kept[name] for name in CURVES}})
    names = (_("5th percentile"), _("median"), _("95th percentile"), _("this image"))
    for column, name in zip(CURVES, names, strict=True):
        _draw(add_series(chart, table, ("number", column), name, _colour(column)), column)
    values = [value for name in CURVES for value in kept[name]]
    low, high = min(values), max(values)
    set_ranges(chart, (0.0, numbers[-1] + 1.0), (low, high + HEADROOM * ((high - low) or 1.0)))
    return chart


def most_different_band(spectra: Sequence[Mapping[str, Any]], blocks: Sequence[Any]) -> Mapping[str, Any] | None:
    """The band of the layer whose spectrum differs most; None without spectra.

    Args:
        spectra: one per layer.
        blocks: `BlockDifference` objects, the most different first.
    """
    by_layer = {band["layer"]: band for band in spectra}
    ordered = [block.layer for block in blocks if block.part == "spectrum" and block.layer in by_layer]
    return by_layer[ordered[0]] if ordered else None


def _colour(column: str) -> tuple[float, float, float]:
    return VERMILION_RGB if column == "image" else BLUE_RGB


def _draw(series: slicer.vtkMRMLPlotSeriesNode, column: str) -> None:
    is_limit = column in ("low", "high")
    series.SetLineStyle(series.LineStyleDash if is_limit else series.LineStyleSolid)
    series.SetLineWidth(3 if column == "image" else 2)
