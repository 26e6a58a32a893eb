"""The folder beside a model in which a training run leaves everything it did."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path

MODEL_SUFFIX = ".mts.safetensors"


class RunFolder:
    """Paths and records of one run: config, log of steps, checkpoint, metrics, report."""

    def __init__(self, model: Path) -> None:
        name = model.name.removesuffix(MODEL_SUFFIX)
        self.path = model.with_name(f"{name}.run")
        self.path.mkdir(parents=True, exist_ok=True)
        self.cache = self.path / "cache"
        self.checkpoint = self.path / "checkpoint.pt"
        self.steps = self.path / "metrics.jsonl"
        self.report = self.path / "report.html"

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file atomically."""
        write_json_file(self.path / name, value)

    def append(self, record: dict[str, Any]) -> None:
        """Add a line to the log of steps."""
        with self.steps.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def truncate_after(self, step: int) -> None:
        """Forget records of steps that a resumed run will make again; all of them for step 0."""
        if not self.steps.is_file():
            return
        lines = self.steps.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        with atomic_path(self.steps) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def write_json_file(path: Path, value: Any) -> None:
    """Write a JSON file atomically. NaN (nothing to measure) becomes null, which every reader understands."""
    write_text_file(path, json.dumps(_without_nan(value), indent=1, sort_keys=True) + "\n")


def write_text_file(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
