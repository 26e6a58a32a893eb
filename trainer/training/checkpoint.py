"""Atomic training checkpoints from which a run goes on to the bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path

CHECKPOINT_VERSION = 1


def config_digest(settings: dict[str, Any]) -> str:
    """SHA-256 over settings that must not change between the parts of one run."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def save_checkpoint(path: Path, state: dict[str, Any], digest: str) -> None:
    """Write a checkpoint of tensors and plain values.

    Raises:
        ResourceError: the disk is full or not writable; an earlier checkpoint stays intact.
    """
    with atomic_path(path) as temporary:
        torch.save({"version": CHECKPOINT_VERSION, "digest": digest, **state}, temporary)


def load_checkpoint(path: Path, digest: str, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint of the same run.

    Raises:
        ModelError: it is damaged, of another version, or belongs to other settings or data.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise ModelError(
            f"the checkpoint cannot be read ({type(error).__name__})", file=path, remedy="Start without --resume"
        ) from error
    if not isinstance(state, dict) or state.get("version") != CHECKPOINT_VERSION:
        raise ModelError("the checkpoint has another version", file=path, remedy="Start without --resume")
    if state.get("digest") != digest:
        raise ModelError(
            "the checkpoint belongs to other data or settings", file=path, remedy="Use the same --data and --config"
        )
    return state
