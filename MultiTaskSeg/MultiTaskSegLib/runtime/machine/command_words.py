"""The words of a command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def parsed(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> argparse.Namespace:
    """The options in the words of a command line; None: in those of this process.

    An empty word is wrong use: ``-o "$OUT"`` with a variable that is not set would mean the folder in which the user
    works, and fill it with results.
    """
    words = sys.argv[1:] if words is None else words
    if any(not word.strip() for word in words):
        parser.error("a word of the command is empty (a variable that is not set?)")
    return parser.parse_args(words)
