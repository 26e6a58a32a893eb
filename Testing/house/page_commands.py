"""The commands that the documents give, as words that the programs' own parsers can be asked about."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("multitaskseg-trainer ", "multitaskseg ", "python -m ", "python3 -m ")
TRAINER = "python -m trainer"
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
ROW = re.compile(r"^\| `([a-z][^`]*)`", re.MULTILINE)
# What stands in a usage line for a value that a program would refuse as it stands.
VALUES = {
    **dict.fromkeys(("N", "M", "K"), "1"),
    "R": "0.1", "V": "composite", "S": "all", "FAMILY": "real", "NAME": "contrast",
}  # fmt: skip


@dataclass(frozen=True)
class PageCommand:
    """A command on a page.

    Attributes:
        page: name of the document.
        program: ``multitaskseg``, or the module behind ``python -m``.
        words: what follows.
        is_complete: whether it can be called so; a sentence may also name a command without what it needs.
    """

    page: str
    program: str
    words: tuple[str, ...]
    is_complete: bool

    def __str__(self) -> str:
        return f"{self.page}: {' '.join((self.program, *self.words))}"


def commands_of(path: Path) -> Iterator[PageCommand]:
    """Every command of a document: of its blocks, of its tables, and of its sentences."""
    text = path.read_text(encoding="utf-8")
    for block in FENCE.findall(text):
        lines = (line.partition("  #")[0].strip() for line in block.replace("\\\n", " ").splitlines())
        yield from (made for line in lines if (made := command(path.name, line, is_complete=True)))
    prose = FENCE.sub("", text)
    if path.name == "command_line.md":
        _, _, trainer = prose.partition("## multitaskseg-trainer")
        rows = ROW.findall(trainer.partition("A training leaves")[0])
        yield from (made for row in rows if (made := command(path.name, f"{TRAINER} {row}", is_complete=True)))
    for line in prose.splitlines():
        is_row = line.startswith("|")
        yield from (made for span in SPAN.findall(line) if (made := command(path.name, span, is_complete=is_row)))


def command(page: str, line: str, *, is_complete: bool) -> PageCommand | None:
    """The command of a line; None where it is none of this project's.

    >>> str(command("a.md", "multitaskseg segment IMAGE -o DIR [--task NAME\\\\|auto] [--json]", is_complete=False))
    'a.md: multitaskseg segment IMAGE -o DIR --task auto --json'
    >>> command("a.md", "pip install .", is_complete=True) is None
    True
    """
    if not line.startswith(PROGRAMS):
        return None
    plain = line.replace("\\|", "|").replace("[", " ").replace("]", " ").replace("...", "")
    words = [_value(word) for word in shlex.split(plain)]
    if words[0].startswith("python"):
        words = words[2:]
    program, *rest = words
    program = "trainer" if program == "multitaskseg-trainer" else program
    return PageCommand(page, program, tuple(rest), is_complete)


def _value(word: str) -> str:
    """The last of several alternatives, and a number where a usage line has a letter."""
    last = word.rpartition("|")[2]
    return VALUES.get(last, last)
