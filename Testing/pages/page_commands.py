"""The commands that the documents give: every line of a block, every row of a table and every span of a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from Testing.house.source_tree import REPOSITORY, tracked_files

HISTORY = "CHANGELOG.md"
SHELLS = ("bash", "sh", "console", "powershell")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
PARAGRAPH = re.compile(r"\n\s*\n")
ROW = re.compile(r"^\| `([a-z][^`]*)`", re.MULTILINE)
# A line or a span that begins so is a command.
PROGRAMS = re.compile(
    r"(?:multitaskseg|multitaskseg-trainer|pip|git|cmake|docker|ray|pre-commit|PythonSlicer|Slicer|torchrun|srun|sbatch|"
    r"(?:python3?|py)(?= (?:-m|start\.py))|start\.py(?= )|\S*bin/\S+)(?= |$)"
)
# Spans that begin like a command and are none: names, and what a file holds.
NO_COMMANDS = (
    "multitaskseg",
    "multitaskseg-trainer",
    "pip",
    "git",
    "ray",
    "Slicer",
    "PythonSlicer",
    "pre-commit",
    "docker",
    "srun",
    "torchrun",
)


@dataclass(frozen=True)
class PageCommand:
    """A command on a page.

    Attributes:
        page: the document, relative to the repository.
        text: as it is written, without its comment, and the lines of one command as one.
        place: ``block``, ``row`` of a table, or ``sentence``.
        note: the comment behind it.
    """

    page: str
    text: str
    place: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def all_commands() -> list[PageCommand]:
    """Every command of every document but the history, each once per page, in the order of the page."""
    found: dict[str, PageCommand] = {}
    for path in tracked_files("*.md"):
        name = path.relative_to(REPOSITORY).as_posix()
        if name != HISTORY:
            for one in commands_of(name, path.read_text(encoding="utf-8")):
                found.setdefault(str(one), one)
    return list(found.values())


def commands_of(page: str, text: str) -> Iterator[PageCommand]:
    r"""The commands of a document, in the order in which they stand.

    >>> [one.text for one in commands_of("a.md", "```bash\npip install \\\n  .  # all\n```\nor `git show A`")]
    ['pip install .', 'git show A']
    """
    start = 0
    for block in FENCE.finditer(text):
        yield from _of_prose(page, text, start, block.start())
        yield from _of_block(page, block[1], block[2])
        start = block.end()
    yield from _of_prose(page, text, start, len(text))


def _of_block(page: str, language: str, content: str) -> Iterator[PageCommand]:
    """All lines of a shell's block, or the last of a script; without a language those that begin with a program."""
    if language and language not in SHELLS:
        return
    lines = re.sub(r"\\\n\s*", "", content).splitlines()
    # Of a script what it ends with: the other lines prepare that.
    for line in lines[-1:] if content.startswith("#!") else lines:
        words, _, note = line.partition("  #")
        if language or PROGRAMS.match(words):
            yield PageCommand(page, words.strip(), "block", note.strip())


def _of_prose(page: str, text: str, start: int, end: int) -> Iterator[PageCommand]:
    """Spans that are commands; in the table of the trainer's commands its name is left out, and is put before."""
    first = text.find("## multitaskseg-trainer") if page.endswith("command_line.md") else -1
    place = start
    for paragraph in PARAGRAPH.split(text[start:end]):
        place = text.index(paragraph, place)
        is_trainer = 0 <= first < place < text.find("A training leaves")
        for span in SPAN.finditer(paragraph):
            line = paragraph[paragraph.rfind("\n", 0, span.start()) + 1 :]
            words = " ".join(span[1].split())
            if is_trainer and span.start() in [row.start() + 2 for row in ROW.finditer(paragraph)]:
                words = f"multitaskseg-trainer {words}"
            if PROGRAMS.match(words) and words not in NO_COMMANDS:
                yield PageCommand(page, plain(words), "row" if line.startswith("| `") else "sentence")


def plain(text: str) -> str:
    r"""Without what only Markdown needs.

    >>> plain(r"a [--task NAME\|auto]")
    'a [--task NAME|auto]'
    """
    return text.replace("\\|", "|")
