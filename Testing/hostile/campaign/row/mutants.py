"""Randomly damaged model files: none is accepted, none crashes the process, none takes much memory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
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
    path.write_bytes(good)
    load(path)  # what is loaded late is no mutant's
    allowed = 2 * len(good) / MEGABYTE + SPARE_MB
    release_freed_memory()  # else mutants would fill what others have left, unseen
    memory = PeakMemory()
    with at_most(allowed):
        refused(mutants(good, EACH, int(seed), within), path, load)
    taken = memory.above_start_mb()
    require(taken <= allowed, f"took {taken:.0f} MB, more than {allowed:.0f}")


def refused(damaged_files: Iterator[bytes], path: Path, load: Callable[[Path], object]) -> None:
    """Require that each is refused in one line."""
    for number, damaged in enumerate(damaged_files):
        path.write_bytes(damaged)
        try:
            load(path)
        except ModelError as refused:
            require("\n" not in str(refused), f"mutant {number}: more than one line")
        else:
            require(False, f"mutant {number} was accepted")


@contextmanager
def at_most(more_mb: float) -> Iterator[None]:
    """Memory that is asked for beyond so many MB is not given: also what nobody ever touches, which no peak shows."""
    try:
        import resource

        status = Path("/proc/self/status").read_text()
    except (ImportError, OSError):
        yield  # the peak is judged all the same
        return
    used_kb = int(next(line for line in status.splitlines() if line.startswith("VmData")).split()[1])
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used_kb * 1024 + int(more_mb * MEGABYTE), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


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
