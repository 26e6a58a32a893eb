"""The words of a command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

SEVERAL = ("+", "*")


class CommandParser(argparse.ArgumentParser):
    """A parser, and those of its commands, in which an option that takes several values may be given several times."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.register("action", None, _Kept)


class _Kept(argparse.Action):
    """Keeps what an option is given; argparse's own forgets all but the last of ``--data A --data B``.

    Half of the data or of the structures would be left out, and nobody told.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest, self.default)
        is_further = self.nargs in SEVERAL and before is not self.default
        setattr(namespace, self.dest, [*before, *values] if is_further else values)


def parsed(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> argparse.Namespace:
    """The options in the words of a command line; None: in those of this process.

    An empty word is wrong use: ``-o "$OUT"`` with a variable that is not set would mean the folder in which the user
    works, and fill it with results.
    """
    words = sys.argv[1:] if words is None else words
    if any(not word.strip() for word in words):
        parser.error("a word of the command is empty (a variable that is not set?)")
    return parser.parse_args(words)
