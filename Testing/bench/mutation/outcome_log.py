"""What became of each mutant, written down as soon as it is known, so that an interrupted run goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class OutcomeLog:
    """A file of JSON lines: first what the run is, then one line per mutant."""

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        self.path = path
        self.run = run

    def open(self, resume: bool) -> dict[str, dict[str, Any]]:
        """Outcomes by mutant that are there already.

        Raises:
            ValueError: there are some and nobody asked to go on, or they belong to another run.
        """
        if not self.path.exists():
            self.path.write_text(json.dumps(self.run) + "\n", "utf-8")
            return {}
        if not resume:
            raise ValueError(f"{self.path} holds an earlier run: go on with --resume, or name another folder")
        text = self.path.read_text("utf-8")
        head, *lines = text.splitlines() or [""]
        if head != json.dumps(self.run):
            raise ValueError(f"{self.path} belongs to another run ({head}): name another folder")
        # An interrupted write leaves a last line without its end; that mutant is tried again.
        if not text.endswith("\n"):
            lines = lines[:-1]
            self._replace([head, *lines])
        return {found["id"]: found for found in map(json.loads, lines)}

    def add(self, outcome: dict[str, Any]) -> None:
        """Append one line in one write."""
        with self.path.open("ab", buffering=0) as stream:
            stream.write((json.dumps(outcome) + "\n").encode())
            os.fsync(stream.fileno())

    def _replace(self, lines: list[str]) -> None:
        part = self.path.with_suffix(".part")
        part.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        part.replace(self.path)
