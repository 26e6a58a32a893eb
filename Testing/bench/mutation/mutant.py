"""One small change of one source file, and where it is."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from Testing.bench.mutation.changes import Change, changes
from Testing.bench.mutation.mutable_code import Place, places


@dataclass(frozen=True)
class Mutant:
    """A file with one expression or statement exchanged; everything else stays byte for byte."""

    file: str
    line: int
    start: int
    """Offset in bytes where the exchanged text begins."""
    end: int
    operator: str
    before: str
    after: str
    first_line: int
    """Of the statement, without the block that it may head."""
    last_line: int
    at_import: bool
    """Runs when the module is imported: not inside a function."""

    @property
    def id(self) -> str:
        """The same for the same change of the same text."""
        return hashlib.sha256(f"{self.file}:{self.start}:{self.end}:{self.after}".encode()).hexdigest()[:12]

    def applied(self, content: bytes) -> bytes:
        """The mutated file."""
        return content[: self.start] + self.after.encode() + content[self.end :]


Point = tuple[Mutant, ...]
"""The mutants of one operator at one place: a sample takes at most one of them."""


def points(file: str, content: bytes) -> Iterator[Point]:
    """Every mutation point of a file, in the order of the text."""
    offsets = _line_offsets(content)
    for place in places(ast.parse(content, filename=file)):
        for operator, alternatives in changes(place.node, place.parent):
            mutants = [_mutant(file, content, offsets, place, operator, change) for change in alternatives]
            changed = [mutant for mutant in mutants if mutant.before != mutant.after]
            if changed:
                yield tuple(changed)


def _mutant(file: str, content: bytes, offsets: list[int], place: Place, operator: str, change: Change) -> Mutant:
    node = change.node
    start = offsets[node.lineno - 1] + node.col_offset
    end = offsets[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
    found = Mutant(
        file=file,
        line=node.lineno,
        start=start,
        end=end,
        operator=operator,
        before=content[start:end].decode(),
        after=change.after,
        first_line=place.first_line,
        last_line=place.last_line,
        at_import=place.at_import,
    )
    # Two numbers that touch a word ("return-1") stay apart from it: an expression in brackets cannot merge with it.
    glued = start > 0 and content[start - 1 : start].isalnum() and not found.after.startswith("(")
    return replace(found, after=f"({found.after})") if glued else found


def _line_offsets(content: bytes) -> list[int]:
    """Where each line begins, in bytes, as ast counts."""
    offsets = [0]
    for line in content.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    return offsets
