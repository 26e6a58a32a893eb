"""Which model file made a result: where a training can go on from."""

from __future__ import annotations

import json
from pathlib import Path

import slicer

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.file_header import header_digest, header_manifest
from MultiTaskSegLib.runtime.model.model_list import listed_models
from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.task_list import KnownTask, known_tasks


def model_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> Path:
    """The model file of a result: the one that was asked for, else the one of the list that the image decided on.

    A file counts only with the content that made the result: another model may have come to its place.

    Raises:
        ModelError: it is not there any more, or nobody noted it.
    """
    asked = json.loads(segmentation_node.GetAttribute(f"{PREFIX}Parameters") or "{}").get("model") or ""
    digest = segmentation_node.GetAttribute(f"{PREFIX}Model.SHA256") or ""
    name = segmentation_node.GetAttribute(f"{PREFIX}Model") or ""
    if not asked and not digest:
        raise ModelError("nobody noted which model file made this result", remedy="Choose the model to start from")
    known = [Path(asked)] if asked else []
    if digest:
        known += [listed.path for listed in listed_models()]
    for path in known:
        if path.is_file() and digest in ("", header_digest(path)):
            header_manifest(path)
            return path
    raise ModelError(
        "the model that made this result is not there any more", file=asked or name, remedy="Choose another"
    )


def task_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> KnownTask | None:
    """What the model says of the task of a result; None where model or task are not known."""
    try:
        tasks = known_tasks(model_of(segmentation_node))
    except ModelError:
        return None
    name = segmentation_node.GetAttribute(f"{PREFIX}Task")
    return next((task for task in tasks if task.name == name), None)
