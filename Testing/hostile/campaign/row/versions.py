"""A stored model file of every version of the format: read as it was written, or refused with what to do."""

from __future__ import annotations

from pathlib import Path

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.hostile.campaign.trial import Broken, Ground, ListedTrial, require
from Testing.hostile.model_bytes import resealed
from Testing.hostile.test_damaged_models import edit

STORED = Path(__file__).resolve().parents[2] / "stored"
"""``version-N.mts.safetensors``, written by the program that first wrote that version."""
OTHER_VERSIONS = (0, 3, 99, -1, "1", None)


def stored() -> dict[str, Path]:
    """Every stored file by its kind and version."""
    return {path.name.removesuffix(".mts.safetensors"): path for path in sorted(STORED.glob("*.safetensors"))}


def attempt(case: str, ground: Ground) -> None:
    """``read: FILE`` or ``VERSION in FILE``."""
    if case.startswith("read: "):
        name = case.removeprefix("read: ")
        found = _load(stored()[name]).manifest  # type: ignore[attr-defined]
        require(found.name and found.tasks, "it says nothing of itself")
        return
    version, _, name = case.partition(" in ")
    wanted = {str(value): value for value in OTHER_VERSIONS}[version]
    path = resealed(stored()[name], ground.folder / f"{name}-other.mts.safetensors", edit(format_version=wanted))
    try:
        _load(path)
    except ModelError as refused:
        require(refused.remedy, "no advice")
        require(str(path) in str(refused) and "version" in str(refused), f"says {refused}")
        return
    raise Broken("read")


def _load(path: Path) -> object:
    return load_imported(path) if path.name.startswith("imported") else load_model(path)


VERSIONS = ListedTrial(
    "versions",
    "a stored model file of every version of the format, and files that claim another version",
    "read, or refused with advice",
    (*(f"read: {name}" for name in stored()), *(f"{v} in {name}" for v in OTHER_VERSIONS for name in stored())),
    attempt,
)
