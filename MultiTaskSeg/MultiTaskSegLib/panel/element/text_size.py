"""Sizes in lines and letters of a widget's own text.

Qt multiplies pixels by the scale of the screen itself; a larger font, chosen in Slicer or in the system, it does not
follow. A size that holds text is therefore told in text.
"""

from __future__ import annotations

from typing import Any

import qt


def lines_high(widget: Any, lines: float) -> int:
    """Pixels of Qt that so many lines of text take in the font of a widget."""
    return round(lines * qt.QFontMetrics(widget.font).lineSpacing())


def letters_wide(widget: Any, letters: float) -> int:
    """Pixels of Qt that so many letters of middling width take in the font of a widget."""
    return round(letters * qt.QFontMetrics(widget.font).averageCharWidth())
