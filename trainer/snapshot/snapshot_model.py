"""Snapshots of a training as model files of their own, beside the finished model that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.model.model_file import Model, load_model, rewrite_manifest
from trainer.identity.weights_digest import weights_digest
from trainer.report.run_folder import MODEL_SUFFIX
from trainer.snapshot.member_store import Member, MemberStore

Part = Literal["labels", "check"]
KEY = "snapshot"
"""Of the manifest's ``training``."""
MEASURED = "all figures, temperatures and the reference of the check are those of the finished model"
BUT_CHECK = "all figures but those of the check, and temperatures, are those of the finished model"
BUT_LABELS = "the reference of the check and its figures are those of the finished model"


def write_snapshot_models(path: Path, store: MemberStore, members: Sequence[Member], cycles: int) -> list[Path]:
    """Write every member as a model file ``NAME.snapshotN.mts.safetensors`` beside the member.

    Everything but weights, name and provenance is taken from the finished model, to the bit: nothing is measured anew.

    Args:
        path: the finished model.
        store: of the members.
        members: of the run that has made the model.
        cycles: of its learning rate.

    Returns:
        The paths of the files.

    Raises:
        ModelError: a member or the model is missing or damaged.
        ResourceError: a file cannot be written.
    """
    model = load_model(path)
    name, digest = model.manifest.name, _digest(model)
    written = []
    for member in members:
        own_name = f"{name}.snapshot{member.number}"
        said = {
            "of": name,
            "weights_sha256": digest,
            "number": member.number,
            "cycles": cycles,
            "step": member.step,
            "measured": MEASURED,
        }
        manifest = replace(model.manifest, name=own_name, training=dict(model.manifest.training) | {KEY: said})
        written.append(store.folder / f"{own_name}{MODEL_SUFFIX}")
        rewrite_manifest(path, manifest, written[-1], store.weights(member))
    return written


def require_snapshots_of(model: Model, others: Sequence[Model]) -> None:
    """Refuse models that are no snapshots of the training that a model comes from.

    Its figures may have been measured anew since: its weights tell.

    Raises:
        UsageError: one is not.
    """
    digest = _digest(model)
    for other in others:
        said = other.manifest.training.get(KEY)
        if not isinstance(said, dict) or said.get("weights_sha256") != digest:
            what = "is no snapshot" if not isinstance(said, dict) else f"is a snapshot of another {said.get('of')}"
            raise UsageError(
                f"the model {other.manifest.name} {what}, not one of the training of {model.manifest.name}",
                remedy="Give the files in the folder snapshots of the model's run, or give it as a model of an "
                "ensemble",
            )


def noted_measured(said: Mapping[str, Any], part: Part) -> dict[str, Any]:
    """What the file of a snapshot says of it once a part was measured on it: that the rest still was not, if so.

    Args:
        said: the entry `KEY` before.
        part: the temperatures and the Dice of ``labels``, or the reference of the ``check``.
    """
    rest = {key: value for key, value in said.items() if key != "measured"}
    still = BUT_CHECK if part == "check" else BUT_LABELS
    return rest | {"measured": still} if said.get("measured") in (MEASURED, still) else rest


def _digest(model: Model) -> str:
    return weights_digest(model.network.state_dict())
