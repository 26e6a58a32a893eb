"""The distances of an image to each task, as rich text."""

from __future__ import annotations

import html
from collections.abc import Mapping

from slicer.i18n import tr as _


def distances_text(distances: Mapping[str, float]) -> str:
    """A table of tasks with their spectral distance to the image, nearest first; empty when there are none."""
    if not distances:
        return ""
    nearest_first = sorted(distances.items(), key=lambda item: item[1])
    rows = "".join(f"<tr><td>{html.escape(task)}</td><td>{value:.3g}</td></tr>" for task, value in nearest_first)
    titles = "".join(
        f'<th align="left">{html.escape(title)}&nbsp;&nbsp;</th>' for title in (_("Training task"), _("Distance"))
    )
    return f"<table><tr>{titles}</tr>{rows}</table>"
