"""The verdict on an image as a coloured banner: green, amber or red, with words, p-value and nearest task; grey where
there is none."""

from __future__ import annotations

import html
from enum import Enum

from slicer.i18n import tr as _

from MultiTaskSegLib.picture.verdict_colour import BAD_COLOUR, GOOD_COLOUR, UNCHECKED_COLOUR, UNUSUAL_COLOUR
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.task_list import short_name
from MultiTaskSegLib.verdict_words import UNUSUAL_P_VALUE, is_unusual


class Level(Enum):
    """How much an image is like the training images of what was segmented; the value is the colour of the banner."""

    KNOWN = GOOD_COLOUR
    UNUSUAL = UNUSUAL_COLOUR
    FOREIGN = BAD_COLOUR
    UNCHECKED = UNCHECKED_COLOUR


def level_of(verdict: Verdict | None, task: str = "") -> Level:
    """Foreign beyond the limit; unusual where hardly any known image lies as far out, or where the image is more like
    those of another task than the one that was segmented; else known. Without a verdict it is unchecked."""
    if verdict is None:
        return Level.UNCHECKED
    if verdict.is_ood:
        return Level.FOREIGN
    return Level.UNUSUAL if is_unusual(verdict, task) else Level.KNOWN


def verdict_banner(verdict: Verdict | None, task: str = "", is_region: bool = False) -> str:
    """Banner, what it means and why, as rich text; ``task`` is what was segmented, in a region only if so."""
    level = level_of(verdict, task)
    if verdict is None:
        return _unchecked_banner(is_region)
    figures = _(
        "{score:.1f} times the typical distance from {nearest} (limit {threshold:.1f}), p\u00a0=\u00a0{pValue:.2g}"
    ).format(
        score=verdict.score,
        threshold=verdict.threshold,
        pValue=verdict.p_value,
        nearest=short_name(verdict.nearest_task),
    ) + rivals_text(verdict)
    why = "" if verdict.explanation is None else f"<br>{html.escape(verdict.explanation.sentence())}"
    about = _("The verdict is about the whole image, the segments are of a region of it.") if is_region else ""
    meaning = " ".join(text for text in (_meaning(verdict, level), about) if text)
    return f"{banner(level_words(level), figures, level)}<p>{html.escape(meaning)}{why}</p>"


def _unchecked_banner(is_region: bool) -> str:
    """That nobody knows whether the image is like the training images."""
    meaning = _("Whether this image resembles the training images is not known. Compare each structure with the image.")
    why = _("only a region was segmented") if is_region else _("the model has no reference images")
    words = banner(level_words(Level.UNCHECKED), why, Level.UNCHECKED)
    return f"{words}<p>{html.escape(meaning)}</p>"


def rivals_text(verdict: Verdict) -> str:
    """The tasks that are about as near as the nearest one, to follow it; empty where there are none."""
    names = ", ".join(short_name(task) for task in verdict.rivals)
    return _("; about as near: {tasks}").format(tasks=names) if names else ""


def banner(words: str, details: str, level: Level) -> str:
    """White words on the colour of a level, over the whole width."""
    return (
        f'<table width="100%" cellpadding="8" bgcolor="{level.value}"><tr><td><font color="#ffffff">'
        f"<b>{html.escape(words)}</b><br>{html.escape(details)}</font></td></tr></table>"
    )


def level_words(level: Level) -> str:
    """The verdict in words."""
    return {
        Level.KNOWN: _("IN DISTRIBUTION"),
        Level.UNUSUAL: _("UNUSUAL, BUT IN DISTRIBUTION"),
        Level.FOREIGN: _("OUT OF DISTRIBUTION"),
        Level.UNCHECKED: _("NOT CHECKED"),
    }[level]


def _meaning(verdict: Verdict, level: Level) -> str:
    if level is Level.FOREIGN:
        return _("This image is unlike the training images. Do not rely on the segmentation without a check.")
    if level is Level.KNOWN:
        return _("This image resembles the training images.")
    if verdict.p_value <= UNUSUAL_P_VALUE:
        return _("Hardly any known image lies as far out. Compare each structure with the image before you use it.")
    return _("This image looks more like those of {task}. Is the right task chosen?").format(
        task=short_name(verdict.nearest_task)
    )
