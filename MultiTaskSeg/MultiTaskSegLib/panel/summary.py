"""Results and progress in words, as rich text for a label."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from MultiTaskSegLib.panel.preflight import Finding
from MultiTaskSegLib.panel.verdict_banner import verdict_banner
from MultiTaskSegLib.picture.verdict_colour import BAD_COLOUR, GOOD_COLOUR, UNUSUAL_COLOUR
from MultiTaskSegLib.runtime.ood.verdict import NOT_CHECKED, REGION_NOT_CHECKED, Verdict
from MultiTaskSegLib.runtime.quality.usability import DO_NOT_USE, GOOD, LOOK_HERE
from MultiTaskSegLib.task_list import short_name

__all__ = [
    "BAD_COLOUR",
    "GOOD_COLOUR",
    "badge",
    "error_text",
    "findings_text",
    "notice_text",
    "progress_text",
    "result_text",
    "verdict_text",
]


def badge(text: str, colour: str) -> str:
    """A short text on a coloured ground."""
    return f'<span style="background-color:{colour};color:#ffffff"><b>&nbsp;{html.escape(text)}&nbsp;</b></span>'


def verdict_text(verdict: Verdict) -> str:
    """The out-of-distribution verdict in words and colour."""
    return verdict_banner(verdict)


def result_text(
    verdict: Verdict | None,
    task: str,
    warnings: Sequence[str] = (),
    choice: str = "",
    is_region: bool = False,
    quality: Mapping[str, Any] | None = None,
    thorough: Mapping[str, Any] | None = None,
) -> str:
    """The verdict on the image or a region of it, whether the result is good, what was segmented, how the model was
    chosen, and what else there is."""
    lines = [
        _("Task: {task}").format(task=short_name(task)),
        *([_("Model: {why}").format(why=choice)] if choice else []),
    ]
    answer = "" if quality is None else quality_text(quality)
    parts = [
        verdict_banner(verdict, task, is_region),
        answer,
        "" if thorough is None else thorough_text(thorough),
        f"<p>{'<br>'.join(html.escape(line) for line in lines)}</p>",
    ]
    # The banner says both of these already.
    told: tuple[str, ...] = (NOT_CHECKED, REGION_NOT_CHECKED)
    if verdict is not None:
        other = f"the image looks more like {verdict.nearest_task} than like the chosen task {task}"
        told = (verdict.sentence(), other)
    return "".join(parts) + notes_text([warning for warning in warnings if warning not in told])


def quality_text(quality: Mapping[str, Any]) -> str:
    """Whether the result is good, with the figures behind it, from the entry of the report."""
    answer = quality["answer"]
    expected, margin = quality["predicted_dice"], quality["margin"]
    parts = [] if expected is None else [_("predicted Dice {dice:.2f}").format(dice=expected)]
    if margin is not None:
        bound = _("of each structure at least its figure less {margin:.2f} in nine of ten such images")
        parts.append(bound.format(margin=margin))
    elif quality["why_no_bound"]:
        parts.append(str(quality["why_no_bound"]))
    return _answer_text(_("Quality of the result:"), answer, expected is None, ", ".join(parts))


def thorough_text(thorough: Mapping[str, Any]) -> str:
    """How far further looks agree with the result, from the entry of the report."""
    agreement, looks = thorough["agreement"], thorough["looks"]
    if agreement is None:
        words = _("{looks} further looks find nothing, either").format(looks=looks)
    else:
        words = _("{looks} further looks agree with a Dice of {dice:.2f}").format(looks=looks, dice=agreement)
    return _answer_text(_("Thorough check:"), thorough["answer"], agreement is None, words)


def _answer_text(title: str, answer: str, has_no_figure: bool, words: str) -> str:
    names = {GOOD: _("GOOD"), LOOK_HERE: _("LOOK HERE"), DO_NOT_USE: _("DO NOT USE")}
    colours = {GOOD: GOOD_COLOUR, LOOK_HERE: UNUSUAL_COLOUR, DO_NOT_USE: BAD_COLOUR}
    # Nothing is green that no figure stands behind, as of a foreign image.
    colour = UNUSUAL_COLOUR if has_no_figure and answer == GOOD else colours.get(answer, UNUSUAL_COLOUR)
    return f"<p>{html.escape(title)} {badge(names.get(answer, str(answer)), colour)} {html.escape(words)}</p>"


def notes_text(warnings: Sequence[str]) -> str:
    """What else there is to know, one line each."""
    flag = badge(_("NOTE"), UNUSUAL_COLOUR)
    return "".join(f"<p>{flag} {html.escape(str(warning))}</p>" for warning in warnings)


def findings_text(findings: Sequence[Finding]) -> str:
    """What the check before the run found, one line each; empty when all is well."""
    lines = []
    for finding in findings:
        title = _("CANNOT BE SEGMENTED") if finding.is_refusal else _("NOTE")
        flag = badge(title, BAD_COLOUR if finding.is_refusal else UNUSUAL_COLOUR)
        lines.append(f"<p>{flag} {html.escape(finding.text)}</p>")
    return "".join(lines)


def error_text(message: str) -> str:
    """An error or a notice as rich text."""
    return f"<p>{badge(_('NOT DONE'), BAD_COLOUR)}</p><p>{html.escape(message)}</p>"


def notice_text(message: str) -> str:
    """Something that went well, as rich text."""
    return f"<p>{badge(_('OK'), GOOD_COLOUR)} {html.escape(message)}</p>"


def progress_text(fraction: float, eta_s: float | None, step: str) -> str:
    """What is going on, how far it is and how long it will take."""
    percent = _("{step}: {percent:.0f} %").format(step=step, percent=100.0 * fraction)
    if eta_s is None:
        return percent
    return _("{progress}, about {seconds:.0f} s left").format(progress=percent, seconds=eta_s)
