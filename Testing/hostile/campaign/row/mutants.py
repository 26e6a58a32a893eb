"""Randomly damaged model files: none is accepted, none crashes the process, none takes much memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.bench.process_memory import MEGABYTE, PeakMemory
from Testing.hostile.campaign.trial import Ground, ListedTrial, require
from Testing.hostile.mutation import mutants
from Testing.runtime.imported.imported_models import imported
from Testing.runtime.tiny_model import write_tiny_model

EACH, BATCHES = 100, 1000
SPARE_MB = 64.0


def _imported(path: Path) -> Path:
    path.mkdir()
    return imported(path)


# Kind of file: how it is made, and what reads it.
KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "3-D": (write_tiny_model, load_model),
    "2-D": (lambda path: write_tiny_model(path, is_planar=True), load_model),
    "with cells": (lambda path: write_tiny_model(path, with_cells=True), load_model),
    "imported": (_imported, load_imported),
}


def attempt(case: str, ground: Ground) -> None:
    """``KIND, PART, SEED``: so many mutants of one file, damaged in its header or anywhere."""
    kind, part, seed = case.split(", ")
    make, load = KINDS[kind]
    kept = ground.once(kind, make)
    good = (next(kept.glob("*.safetensors")) if kept.is_dir() else kept).read_bytes()
    within = 8 + struct.unpack("<Q", good[:8])[0] if part == "header" else None
    path = ground.folder / "mutant.mts.safetensors"
    memory = PeakMemory()
    for number, damaged in enumerate(mutants(good, EACH, int(seed), within)):
        path.write_bytes(damaged)
        try:
            load(path)
        except ModelError as refused:
            require("\n" not in str(refused), f"mutant {number}: more than one line")
        else:
            require(False, f"mutant {number} was accepted")
    taken, allowed = memory.above_start_mb(), 2 * len(good) / MEGABYTE + SPARE_MB
    require(taken <= allowed, f"took {taken:.0f} MB, more than {allowed:.0f}")


MUTANTS = ListedTrial(
    "mutants",
    "randomly damaged model files: 3-D, 2-D, with cells, imported; in the header and anywhere",
    "none accepted, each refused in one line; memory at most twice the file + 64 MB",
    tuple(
        f"{list(KINDS)[seed % len(KINDS)]}, {('header', 'all')[seed // len(KINDS) % 2]}, {seed}"
        for seed in range(BATCHES)
    ),
    attempt,
    EACH,
)
