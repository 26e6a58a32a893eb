"""The outcome of a check as a coloured banner with words and figures, and what to do next in one sentence."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence

import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.panel.summary import notes_text
from MultiTaskSegLib.panel.verdict_banner import Level, banner, level_of, level_words, rivals_text
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.scene.result_record import current_verdict, has_outdated_verdict
from MultiTaskSegLib.task_list import short_name
from OODCheckLib.distance_bars import distance_bars
from OODCheckLib.foreign_map import foreign_words


def next_step(verdict: Verdict) -> str:
    """What to do next, in one sentence."""
    return {
        Level.KNOWN: _("Segment it with MultiTaskSeg and look at the uncertainty."),
        Level.UNUSUAL: _("Segment it with MultiTaskSeg, but compare each structure with the image before you use it."),
        Level.FOREIGN: _(
            "Do not rely on a segmentation: see where it is foreign, look for artefacts or a wrong spacing, or choose"
            " a model that was trained on such images."
        ),
    }[level_of(verdict)]


def check_banner(verdict: Verdict) -> str:
    """Banner, figures, advice and reason as rich text."""
    figures = _("p = {pValue:.2g}; score {score:.2f}, limit {limit:.2f}; nearest task: {task}").format(
        pValue=verdict.p_value, score=verdict.score, limit=verdict.threshold, task=short_name(verdict.nearest_task)
    ) + rivals_text(verdict)
    level = level_of(verdict)
    why = "" if verdict.explanation is None else f"<p>{html.escape(verdict.explanation.sentence())}.</p>"
    return banner(level_words(level), figures, level) + _advice(next_step(verdict)) + why


def volume_text(volume_node: slicer.vtkMRMLScalarVolumeNode | None) -> str:
    """Banner, notes and distances of a volume that has been checked, as rich text; empty for others.

    A verdict belongs to the voxels that were judged: one on other voxels, as after a filter, is not shown.
    """
    verdict = current_verdict(volume_node)
    if verdict is None:
        is_outdated = has_outdated_verdict(volume_node)
        return notes_text([_("The image was changed after the check: check it again.")]) if is_outdated else ""
    warnings = json.loads(volume_node.GetAttribute(f"{PREFIX}Warnings") or "[]")
    words = foreign_words(volume_node)
    where = f"<p>{html.escape(words)}</p>" if words else ""
    chosen = volume_node.GetAttribute(f"{PREFIX}Model.Choice")
    model = f"<p>{html.escape(_('Model: {why}').format(why=chosen))}</p>" if chosen else ""
    return check_banner(verdict) + notes_text(warnings) + where + model + distance_bars(verdict)


def summary_banner(verdicts: Sequence[Verdict | None]) -> str:
    """How many of several images are foreign or unusual, or could not be checked (None), as rich text."""
    levels = [None if verdict is None else level_of(verdict) for verdict in verdicts]
    foreign, unusual, unchecked = (levels.count(level) for level in (Level.FOREIGN, Level.UNUSUAL, None))
    worst = Level.FOREIGN if foreign else Level.UNUSUAL if unusual or unchecked else Level.KNOWN
    words = _("{count} of {total} images out of distribution").format(count=foreign, total=len(levels))
    details = _("{unusual} unusual, {unchecked} not checked").format(unusual=unusual, unchecked=unchecked)
    return banner(words, details, worst) + _advice(_("Double-click an image in the table to see it."))


def _advice(sentence: str) -> str:
    return f"<p><b>{html.escape(_('Next:'))}</b> {html.escape(sentence)}</p>"
