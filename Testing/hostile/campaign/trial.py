"""What one row of the campaign tries: many inputs or events, each of which must end as promised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Broken(AssertionError):
    """What was promised did not hold."""


class NotHere(Exception):
    """A case cannot be tried on this machine; the message says what is missing."""


def require(holds: object, otherwise: str) -> None:
    """Go on only where something holds.

    Raises:
        Broken: it does not; `otherwise` says what was found instead.
    """
    if not holds:
        raise Broken(otherwise)


@dataclass(frozen=True)
class Ground:
    """Where a case is tried.

    Attributes:
        folder: empty, for this case alone; removed afterwards.
        kept: for what all cases of a row share and none changes, such as a model.
        counted: what was found that is neither a success nor a failure; the words are counted over all cases.
    """

    folder: Path
    kept: Path
    counted: list[str] = field(default_factory=list, compare=False)

    def once(self, name: str, make: Callable[[Path], object]) -> Path:
        """The path of something in `kept`, made by the first case that asks."""
        path = self.kept / name
        if not path.exists():
            make(path)
        return path


class Trial(Protocol):
    """One row of the table.

    Attributes:
        name: a short word for the command line.
        what: what is tried, for the table.
        promise: what has to hold.
        each: how many things one case tries.
    """

    name: str
    what: str
    promise: str
    each: int

    def cases(self) -> Sequence[str]:
        """All of them by name; each name is enough to make the same case again."""

    def attempt(self, case: str, ground: Ground) -> None:
        """Try one; whatever it raises is a failure, except `NotHere`."""


@dataclass(frozen=True)
class ListedTrial:
    """A trial whose cases are known beforehand; see `Trial`."""

    name: str
    what: str
    promise: str
    names: tuple[str, ...]
    attempt: Callable[[str, Ground], None]
    each: int = 1

    def cases(self) -> Sequence[str]:
        """All of them by name."""
        return self.names
