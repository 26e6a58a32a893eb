"""What can be said of the model that a panel has been told to use, before anything is started. No torch here."""

from __future__ import annotations

from pathlib import Path

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.model_list import NO_REFERENCE, listed_model
from MultiTaskSegLib.runtime.model.released import released_models
from MultiTaskSegLib.task_list import known_tasks

REMEDY = "Choose another one under Advanced, or let the image decide"


def is_released(model: str) -> bool:
    """Whether nothing is chosen, or a file that comes with the extension for use on images of patients."""
    return not model or Path(model) in released_models()


def is_importable(model: str) -> bool:
    """Whether a path is a folder or a zip file, such as nnU-Net leaves: no model file, but one can be made of it."""
    path = Path(model)
    return bool(model) and (path.is_dir() or (path.suffix.lower() == ".zip" and path.is_file()))


def is_checkable(model: str) -> bool:
    """Whether a model file has what images are compared with."""
    return is_released(model) or listed_model("", Path(model)).is_checked


def require_model(model: str, for_check: bool = False) -> None:
    """Refuse a file that cannot be used, before anything else is asked or started.

    Args:
        model: path of a file; empty for that of the list which knows the image.
        for_check: whether an image is to be checked with it, for which it needs reference images.

    Raises:
        ModelError: there is no such file, no task can be read from it, or it cannot be used for a check.
    """
    if is_released(model):
        return
    if is_importable(model):
        raise ModelError("this is no model file yet", file=model, remedy="Import it first, with the button Import")
    if not Path(model).is_file():
        raise ModelError("there is no such model file", file=model, remedy=REMEDY)
    if not known_tasks(model):
        problem = listed_model("", Path(model)).problem
        raise ModelError(problem or "the file is no model of MultiTaskSeg", file=model, remedy=REMEDY)
    if for_check and not is_checkable(model):
        raise ModelError(f"no image can be checked with this model: {NO_REFERENCE}", file=model, remedy=REMEDY)
