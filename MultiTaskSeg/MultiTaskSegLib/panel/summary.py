"""Results and progress in words, as rich text for a label."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from MultiTaskSegLib.runtime.verdict import Verdict

# White on a dark colour is legible in Slicer's light and dark style alike.
GOOD_COLOUR = "#1b7f3b"
BAD_COLOUR = "#b3261e"
MM3_PER_ML = 1000.0


def badge(text: str, colour: str) -> str:
    """A short text on a coloured ground."""
    return f'<span style="background-color:{colour};color:#ffffff"><b>&nbsp;{html.escape(text)}&nbsp;</b></span>'


def verdict_text(verdict: Verdict) -> str:
    """The out-of-distribution verdict in words and colour."""
    if verdict.is_ood:
        flag = badge(_("OUT OF DISTRIBUTION"), BAD_COLOUR)
        sentence = _("This image is unlike the training images. Do not rely on the segmentation without a check.")
    else:
        flag = badge(_("IN DISTRIBUTION"), GOOD_COLOUR)
        sentence = _("This image resembles the training images.")
    figures = _("{score:.1f} times the typical distance from {task} (limit {threshold:.1f}), p = {pValue:.2g}").format(
        score=verdict.score, threshold=verdict.threshold, pValue=verdict.p_value, task=verdict.nearest_task
    )
    why = "" if verdict.explanation is None else f"<br>{html.escape(verdict.explanation.sentence())}"
    return f"<p>{flag}</p><p>{html.escape(sentence)}<br>{html.escape(figures)}{why}</p>"


def result_text(report: Mapping[str, Any]) -> str:
    """The verdict, the size, confidence and predicted Dice of each structure, and the warnings of a segmentation."""
    verdict = Verdict.from_dict(report["ood"])
    parts = [verdict_text(verdict)]
    parts.append(f"<p>{html.escape(_('Task: {task}').format(task=report.get('task', '')))}</p>")
    parts.append(_structures(report.get("labels", [])))
    other = [warning for warning in report.get("warnings", []) if warning != verdict.sentence()]
    parts.extend(f"<p>{html.escape(str(warning))}</p>" for warning in other)
    return "".join(parts)


def _structures(labels: Sequence[Mapping[str, Any]]) -> str:
    if not labels:
        return ""
    titles = (_("Structure"), _("Volume [mL]"), _("Confidence"), _("Predicted Dice"))
    head = "".join(f'<th align="left">{html.escape(title)}&nbsp;&nbsp;</th>' for title in titles)
    return f"<table><tr>{head}</tr>{''.join(_row(label) for label in labels)}</table>"


def _row(label: Mapping[str, Any]) -> str:
    name = html.escape(str(label.get("display_name", label["name"])))
    if not label["voxels"]:
        return f"<tr><td>{name}</td><td>{html.escape(_('not found'))}</td><td></td><td></td></tr>"
    confidence = label.get("mean_confidence")
    shown = "" if confidence is None else f"{100.0 * confidence:.0f} %"
    predictedDice = label.get("predicted_dice")
    quality = "" if predictedDice is None else f"{predictedDice:.2f}"
    volume = f"{label['volume_mm3'] / MM3_PER_ML:.2f}"
    return f"<tr><td>{name}</td><td>{volume}</td><td>{shown}</td><td>{quality}</td></tr>"


def error_text(message: str) -> str:
    """An error or a notice as rich text."""
    return f"<p>{badge(_('NOT DONE'), BAD_COLOUR)}</p><p>{html.escape(message)}</p>"


def progress_text(fraction: float, eta_s: float | None, step: str) -> str:
    """What is going on, how far it is and how long it will take."""
    percent = _("{step}: {percent:.0f} %").format(step=step, percent=100.0 * fraction)
    if eta_s is None:
        return percent
    return _("{progress}, about {seconds:.0f} s left").format(progress=percent, seconds=eta_s)
