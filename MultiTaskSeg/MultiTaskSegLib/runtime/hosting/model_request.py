"""Answers of the worker about models: what a file or a folder of nnU-Net holds, and a model file made of the latter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.hosting.torch_machine import needed_packages
from MultiTaskSegLib.runtime.hosting.worker_request import Request

Event = dict[str, Any]


def task_facts(manifest: Any) -> list[dict[str, Any]]:
    """What a panel needs to know of the tasks of a model; ``inputs`` has no entry where one channel has no name."""
    return [
        {"name": task.name, "modality": task.modality, "anatomy": task.anatomy, "inputs": list(task.inputs)}
        for task in manifest.tasks
    ]


def card_of(request: Request) -> Event:
    """The card of ``model``, a file that is read and checked as a whole.

    Raises:
        ModelError: it is missing, damaged or altered.
    """
    with needed_packages():
        from MultiTaskSegLib.runtime.imported.described_model import described_model
    return {"event": "result", "card": described_model(Path(request["model"])).card}


def models_in(request: Request) -> Event:
    """Which models nnU-Net has left in ``folder``, see `model_choices`; no weights are read.

    Raises:
        ModelError: there is none, or the folder cannot be read.
    """
    with needed_packages():
        from MultiTaskSegLib.runtime.imported.model_choices import model_choices
    return {"event": "result", "models": model_choices(Path(request["folder"]))}


def imported(request: Request, progress: Callable[[float, str], None]) -> Event:
    """A model that nnU-Net trained becomes a model file: ``file``, in the folder ``output``.

    Raises:
        UsageError: ``file`` is not a bare name.
        MtsError: as `import_model`.
    """
    with needed_packages():
        from MultiTaskSegLib.runtime.imported.imported_card import imported_card
        from MultiTaskSegLib.runtime.imported.importing import Choice, import_model
    folds = tuple(str(fold) for fold in request.get("folds", ()))
    choice = Choice(request.get("configuration"), folds, request.get("trainer"), request.get("plans"))
    if Path(request["file"]).name != request["file"]:
        raise UsageError("the name of the model file is a path", remedy="Give the name alone")
    folder, output = Path(request["folder"]), Path(request["output"]) / request["file"]
    manifest, digest = import_model(folder, output, choice, request["licence"], request.get("name", ""), progress)
    facts = {
        "tasks": task_facts(manifest),
        "checked": manifest.ood is not None,
        "card": imported_card(manifest, digest),
    }
    return {"event": "result", "model": str(output), "sha256": digest, **facts}
