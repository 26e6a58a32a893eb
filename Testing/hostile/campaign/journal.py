"""What is known of a row so far, kept on the disk after every case: a run that was interrupted goes on there."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SETTINGS = "settings.json"


@dataclass(frozen=True)
class Settings:
    """What a run is: two runs of the same settings try the same cases.

    Attributes:
        share: of all cases of each row that is tried, at least one.
        seed: of the choice.
        inputs: these cases alone, whatever the share; none: the share decides.
    """

    share: float
    seed: int
    inputs: tuple[str, ...] = ()

    def keep(self, folder: Path) -> None:
        """Note them in the folder of a run.

        Raises:
            ValueError: the share is none, or the folder holds a run of other settings.
        """
        if not 0 < self.share <= 1:
            raise ValueError(f"the share is {self.share:g}, not above 0 and at most 1")
        path = folder / SETTINGS
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists() and self.kept(folder) != self:
            raise ValueError(f"{path} belongs to a run of another share, seed or choice: give another folder")
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def kept(cls, folder: Path) -> Settings:
        """Those of the run in a folder."""
        found = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return cls(found["share"], found["seed"], tuple(found["inputs"]))

    def require_known(self, cases: Set[str]) -> None:
        """Refuse a name that is none of these cases: nothing would be tried, and no failure found.

        Raises:
            ValueError: there is such a name.
        """
        if unknown := sorted(set(self.inputs) - cases):
            raise ValueError(f"no row that was asked for has the case {unknown[0]!r}")

    def chosen(self, cases: Sequence[str]) -> list[str]:
        """The cases that are tried, in their own order."""
        if self.inputs:
            return [case for case in cases if case in self.inputs]
        count = min(len(cases), max(1, round(self.share * len(cases))))
        places = random.Random(self.seed).sample(range(len(cases)), count)
        return [cases[place] for place in sorted(places)]


class Journal:
    """The file of one row: a line when a process begins, when a case begins and when it ends."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.jsonl"

    def add(self, line: Mapping[str, Any]) -> None:
        """Write one line."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def done(self) -> dict[str, dict[str, Any]]:
        """By case, how it ended: ``failure`` (empty: as promised), ``absent`` (what is missing here), ``seconds``."""
        return {line["case"]: line for line in self._lines() if "case" in line}

    def open_case(self) -> str | None:
        """The case that was begun last and has not ended: its process died in it."""
        begun = next((line["begun"] for line in reversed(self._lines()) if "begun" in line), None)
        return None if begun in self.done() else begun

    def begun(self) -> int:
        """How often a case was begun."""
        return sum("begun" in line for line in self._lines())

    def commits(self) -> list[str]:
        """Of all processes that have written."""
        return list(dict.fromkeys(line["commit"] for line in self._lines() if "commit" in line))

    def _lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        found = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:  # the process was killed while it wrote
                continue
        return found
