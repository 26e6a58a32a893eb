"""Says in sight which model is used when it is not a released one, and leads back with one click."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MultiTaskSegLib.panel.summary import badge
from MultiTaskSegLib.panel.verdict_banner import BAD_COLOUR, UNUSUAL_COLOUR
from MultiTaskSegLib.registration.sample_data import is_sample_model
from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.task_list import known_tasks, released_models


class ModelNote:
    """A label and a button; both are there only while the chosen model is not a released one."""

    def __init__(self, label: Any, button: Any, release: Callable[[], object]) -> None:
        """Take over the widgets; ``release`` is called when the released model is to be used again."""
        self._label, self._button = label, button
        button.connect("clicked(bool)", lambda _checked: release())
        self.show("")

    def show(self, model: str) -> None:
        """Name a model file; empty is the released model, about which nothing is said."""
        self._label.text = model_text(model)
        self._label.visible = self._button.visible = bool(self._label.text)


def model_text(model: str) -> str:
    """What there is to say about a model file, as rich text; empty for a released one."""
    if is_released(model):
        return ""
    name = Path(model).name
    if not Path(model).is_file():
        words, colour = _("There is no model file {name}."), BAD_COLOUR
    elif not known_tasks(model):
        words, colour = _("The file {name} is no model of MultiTaskSeg."), BAD_COLOUR
    elif is_sample_model(model):
        words, colour = _("Model of the tutorial, {name}: it knows phantoms only, no real images."), UNUSUAL_COLOUR
    else:
        words, colour = _("Not the released model, but {name}."), UNUSUAL_COLOUR
    return f"<p>{badge(_('MODEL'), colour)} {html.escape(words.format(name=name))}</p>"


def is_released(model: str) -> bool:
    """Whether nothing is chosen, or a file that comes with the extension for use on images of patients."""
    return not model or Path(model) in released_models()


def require_model(model: str) -> None:
    """Refuse a file that is no model before anything else is asked or started.

    Raises:
        ModelError: there is no such file, or no task can be read from it.
    """
    if is_released(model):
        return
    remedy = "Choose another one under Advanced, or use the released model"
    if not Path(model).is_file():
        raise ModelError("there is no such model file", file=model, remedy=remedy)
    if not known_tasks(model):
        raise ModelError("the file is no model of MultiTaskSeg", file=model, remedy=remedy)
