"""Atomic training checkpoints from which a run goes on to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from MultiTaskSegLib.runtime.errors import ModelError, ResourceError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from trainer.config import TrainingConfig
from trainer.identity.fingerprint import canonical_text
from trainer.report.run_folder import RunFolder
from trainer.snapshot.member_store import MemberStore, members_of
from trainer.training.run_identity import Identity, difference

CHECKPOINT_VERSION = 2
ANEW = "Start anew without --resume"
ROOM = "Free disk space and go on with --resume"


def save_checkpoint(path: Path, state: dict[str, Any], identity: Identity) -> None:
    """Write a checkpoint of tensors and plain values.

    Args:
        path: file.
        state: what the run goes on from.
        identity: of the run, see `trainer.training.run_identity`.

    Raises:
        ResourceError: the disk is full or not writable; an earlier checkpoint stays intact.
    """
    with atomic_path(path) as temporary:
        try:
            torch.save({"version": CHECKPOINT_VERSION, "identity": canonical_text(identity), **state}, temporary)
        except RuntimeError as error:  # what torch makes of a disk that fills up while it writes
            raise ResourceError(
                "the checkpoint cannot be written; the earlier one stays", file=path, remedy=ROOM
            ) from error


def load_checkpoint(path: Path, identity: Identity, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint of the same run.

    Raises:
        ModelError: it is damaged, of another version, or belongs to other settings or data; the message says which.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise ModelError(f"the checkpoint cannot be read ({type(error).__name__})", file=path, remedy=ANEW) from error
    if not isinstance(state, dict) or state.get("version") != CHECKPOINT_VERSION:
        raise ModelError("the checkpoint has another version", file=path, remedy=ANEW)
    found = _difference(state, identity, path)
    if found is not None:
        what, remedy = found
        raise ModelError(f"the checkpoint belongs to other data or settings: {what}", file=path, remedy=remedy)
    return state


def taken_up(folder: RunFolder, identity: Identity, config: TrainingConfig, resume: bool) -> dict[str, Any] | None:
    """The state to go on from, None where there is none; the folder is then as it was at that moment.

    Args:
        folder: of the run.
        identity: of the run, see `trainer.training.run_identity`.
        config: its settings, which are written there.
        resume: whether the run goes on; otherwise what an earlier one left is put aside.

    Raises:
        ModelError: the checkpoint does not fit, or a snapshot of the run is lost; nothing has been changed.
        ResourceError: the log of steps is damaged, or a file cannot be read or written.
    """
    if not resume:
        folder.begin_anew()
    state, step = None, 0
    if folder.checkpoint.is_file():
        # To the processor, from where each process takes it to its own device.
        state = load_checkpoint(folder.checkpoint, identity, torch.device("cpu"))
        step = int(state["step"])
    MemberStore(folder.snapshots).take_up(members_of(state or {}))
    folder.truncate_after(step)
    if state is not None and step and not folder.records():
        # The log was lost, with all that said how long the run has taken.
        folder.append({"step": step, "elapsed_s": float(state["elapsed_s"])})
    # Only now: the settings of a run that is refused are not those of what lies in the folder.
    folder.write_json("config.json", config.as_dict())
    return state


def checkpoint_step(path: Path) -> int:
    """The step that a run goes on from; 0 where there is no checkpoint that can be read."""
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["step"])
    except Exception:  # whatever torch makes of a damaged file: who goes on from it is told by `load_checkpoint`
        return 0


def _difference(state: dict[str, Any], identity: Identity, path: Path) -> tuple[str, str] | None:
    """Between the run that a checkpoint was saved by and this one, whatever the file claims to be."""
    try:
        return difference(json.loads(state["identity"]), identity)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ModelError("the checkpoint does not say of which run it is", file=path, remedy=ANEW) from error
