"""Which model file made a result: where a training can go on from."""

from __future__ import annotations

import json
from pathlib import Path

import slicer

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.file_header import header_manifest
from MultiTaskSegLib.runtime.model.released import released_model
from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.task_list import KnownTask, known_tasks


def model_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> Path:
    """The model file of a result.

    Raises:
        ModelError: it is not there any more, or nobody noted it.
    """
    asked = json.loads(segmentation_node.GetAttribute(f"{PREFIX}Parameters") or "{}").get("model") or ""
    path = Path(asked) if asked else _released(segmentation_node.GetAttribute(f"{PREFIX}Model") or "")
    if not path.is_file():
        raise ModelError("the model that made this result is not there any more", file=path, remedy="Choose another")
    header_manifest(path)
    return path


def task_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> KnownTask | None:
    """What the model says of the task of a result; None where model or task are not known."""
    try:
        tasks = known_tasks(model_of(segmentation_node))
    except ModelError:
        return None
    name = segmentation_node.GetAttribute(f"{PREFIX}Task")
    return next((task for task in tasks if task.name == name), None)


def _released(name: str) -> Path:
    for planar in (False, True):
        path = released_model(planar)
        if path.name.startswith(f"{name}."):
            return path
    raise ModelError("nobody noted which model file made this result", remedy="Choose the model to start from")
