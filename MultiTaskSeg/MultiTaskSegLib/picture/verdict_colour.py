"""Colours of verdicts, the same in banners, tables and pictures. No torch here."""

from __future__ import annotations

from MultiTaskSegLib.verdict_words import FOREIGN, KNOWN, UNCHECKED, UNUSUAL

# White on a dark colour is legible in Slicer's light and dark style alike.
GOOD_COLOUR = "#1b7f3b"
UNUSUAL_COLOUR = "#9a5b00"
BAD_COLOUR = "#b3261e"
UNCHECKED_COLOUR = "#5c5f66"

COLOURS = {FOREIGN: BAD_COLOUR, UNUSUAL: UNUSUAL_COLOUR, KNOWN: GOOD_COLOUR, UNCHECKED: UNCHECKED_COLOUR}
"""By the words of `verdict_words`."""
