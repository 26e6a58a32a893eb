"""The folder beside a model in which a training run leaves everything it did."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from trainer.report.json_lines import read_json_lines

MODEL_SUFFIX = ".mts.safetensors"
PREVIOUS, SNAPSHOTS = "previous-", "snapshots"
LOCK_FILE = ".run.lock"


class RunFolder:
    """Paths and records of one run: config, log of steps, checkpoint, metrics, report.

    Args:
        model: file beside which the folder lies.
        cache: folder for prepared cases, which runs may share; None: one of its own.
    """

    def __init__(self, model: Path, cache: Path | None = None) -> None:
        name = model.name.removesuffix(MODEL_SUFFIX)
        self.path = model.with_name(f"{name}.run")
        self.path.mkdir(parents=True, exist_ok=True)
        self.cache = cache or self.path / "cache"
        self.checkpoint = self.path / "checkpoint.pt"
        self.steps = self.path / "metrics.jsonl"
        self.report = self.path / "report.html"
        self.snapshots = self.path / SNAPSHOTS
        self._run_names = self.path / "run_id.txt"

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file atomically."""
        write_json_file(self.path / name, value)

    def append(self, record: dict[str, Any]) -> None:
        """Add a line to the log of steps.

        Raises:
            ResourceError: it cannot be written.
        """
        try:
            with self.steps.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
        except OSError as error:
            raise ResourceError(
                f"the log cannot be written ({error.strerror or error})",
                file=self.steps,
                remedy="Make room on the disk and go on with --resume",
            ) from error

    def records(self) -> list[dict[str, Any]]:
        """The log of steps; without a last line that is not whole, empty where there is no log.

        Raises:
            ResourceError: another line is damaged, or the file cannot be read.
        """
        return read_json_lines(self.steps) if self.steps.is_file() else []

    def truncate_after(self, step: int) -> None:
        """Forget records of steps that a resumed run will make again, and a last line that is not whole.

        Raises:
            ResourceError: another line is damaged, or the file cannot be written.
        """
        if not self.steps.is_file():
            return
        kept = [record for record in self.records() if record["step"] <= step]
        write_text_file(self.steps, "".join(json.dumps(record) + "\n" for record in kept))

    def run_names(self) -> frozenset[str]:
        """What tells the run that lies here from others; nothing where it had one process.

        Raises:
            ResourceError: it cannot be read.
        """
        try:
            text = self._run_names.read_text(encoding="utf-8") if self._run_names.is_file() else ""
        except (OSError, ValueError) as error:
            raise ResourceError(f"it cannot be read ({error})", file=self._run_names, remedy="Remove it") from error
        return frozenset(text.splitlines())

    def keep_run_names(self, names: Collection[str]) -> None:
        """Note what tells a run of several processes from others; nothing: it has one process.

        Raises:
            ResourceError: the file cannot be written.
        """
        if names or self._run_names.is_file():
            write_text_file(self._run_names, "".join(f"{name}\n" for name in sorted(names)))

    def begin_anew(self) -> None:
        """Put checkpoint, records and snapshots of an earlier run aside, under names that nobody resumes from.

        A run that is killed before its first checkpoint must not be taken up where an earlier one ended. What was put
        aside before is overwritten.

        Raises:
            ResourceError: a file cannot be moved.
        """
        for path in (self.checkpoint, self.steps, self.snapshots):
            try:
                aside = path.with_name(f"{PREVIOUS}{path.name}")
                if path.is_dir() and aside.is_dir():
                    shutil.rmtree(aside)
                if path.exists():
                    os.replace(path, aside)
            except OSError as error:
                raise ResourceError(
                    f"the earlier run cannot be put aside ({error.strerror})", file=path, remedy="Check permissions"
                ) from error


def discard_checkpoints(folder: Path) -> None:
    """Remove what finished runs beside models in a folder need no more; it is most of their size."""
    for checkpoint in folder.glob("*.run/checkpoint.pt"):
        checkpoint.unlink()


def write_json_file(path: Path, value: Any) -> None:
    """Write a JSON file atomically. NaN (nothing to measure) becomes null, which every reader understands."""
    write_text_file(path, json.dumps(_without_nan(value), indent=1, sort_keys=True) + "\n")


def write_text_file(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
