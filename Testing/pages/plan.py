"""What is done about each command of a page: which commands are run for it, or why none is."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from Testing.pages.exceptions import NAMED, NEEDS, NOT_RUN, SHORTER, SYSTEMS, Shorter
from Testing.pages.page_commands import PageCommand, all_commands
from Testing.pages.usage import USAGE

# What no program takes: it stands for something.
STANDS_FOR = re.compile(r"\.\.\.|\[|\]|\|(?!\|)|\b(?:MODEL|DIR|IMAGE|FILE|TARGET|HEADS)\b")
OPTION = re.compile(r"(?<=[ \[])--?[a-z][a-z-]*")
NAME_ALONE = "a sentence names it; its line in a table or a block is run"


@dataclass(frozen=True)
class Planned:
    """A command of a page and what is done about it.

    Attributes:
        command: as it is written.
        runs: what is run for it; nothing where there is a reason.
        reason: why nothing is run.
    """

    command: PageCommand
    runs: tuple[str, ...]
    reason: str = ""


def planned(command: PageCommand) -> Planned:
    """Listed with a reason, named alone, or run."""
    text = command.text
    if text in NOT_RUN:
        return Planned(command, (), NOT_RUN[text])
    if text in NAMED and command.place == "sentence":
        return Planned(command, (), NAME_ALONE)
    for name, (systems, reason) in SYSTEMS.items():
        if name in text and sys.platform not in systems:
            return Planned(command, (), reason)
    missing = [package for name in NEEDS if name in text for package in NEEDS[name] if find_spec(package) is None]
    if missing:
        return Planned(command, (), f"needs {', '.join(missing)}, which this Python does not have")
    return Planned(command, USAGE.get(text) or (shorter(text),))


def plan(page: str | None = None) -> list[Planned]:
    """All commands of one page, or of all, in the order in which they stand."""
    return [planned(one) for one in all_commands() if page in (None, one.page)]


def replacements(text: str) -> list[Shorter]:
    """Those that concern a command."""
    return [one for one in SHORTER if whole(one.written).search(text)]


def whole(words: str) -> re.Pattern[str]:
    """Finds words that do not go on: ``--minutes 60`` is not the beginning of ``--minutes 600``."""
    return re.compile(re.escape(words) + r"(?!\w)")


def shorter(text: str) -> str:
    """A command as it is run: as it is written, but for the words that `SHORTER` replaces.

    >>> shorter("multitaskseg segment scan.nii.gz -o result")
    'multitaskseg segment scan.nii.gz -o result'
    """
    for one in replacements(text):
        text = whole(one.written).sub(one.run.replace("\\", r"\\"), text)
    return text


def options(text: str) -> set[str]:
    """Every option that a line names.

    >>> sorted(options("multitaskseg models [--json] -o A"))
    ['--json', '-o']
    """
    return set(OPTION.findall(text.replace("python -m ", "")))
