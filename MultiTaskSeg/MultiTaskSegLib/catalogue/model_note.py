"""Says in sight which model is used when it is not a released one, and leads on with one click."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MultiTaskSegLib.chosen_model import is_checkable, is_importable, is_released
from MultiTaskSegLib.panel.summary import badge
from MultiTaskSegLib.picture.verdict_colour import BAD_COLOUR, UNUSUAL_COLOUR
from MultiTaskSegLib.registration.sample_data import is_sample_model
from MultiTaskSegLib.runtime.model.model_list import listed_model
from MultiTaskSegLib.task_list import known_tasks


class ModelNote:
    """A label and two buttons; all are there only while a model of the user is chosen by hand."""

    def __init__(
        self,
        label: Any,
        release_button: Any,
        import_button: Any,
        release: Callable[[], object],
        take_in: Callable[[], object],
        for_check: bool = False,
    ) -> None:
        """Take over the widgets.

        Args:
            label: says which model is used.
            release_button, import_button: let the image decide again, and on to the import of what was chosen.
            release, take_in: are called when they are pressed.
            for_check: whether images are checked with the model, and not segmented.
        """
        self._label, self._release_button, self._import_button = label, release_button, import_button
        self._for_check = for_check
        release_button.connect("clicked(bool)", lambda _checked: release())
        import_button.connect("clicked(bool)", lambda _checked: take_in())
        self.show("")

    def show(self, model: str) -> None:
        """Name a model file; where it is empty the image decides, about which nothing is said."""
        self._label.text = model_text(model, self._for_check)
        self._label.visible = self._release_button.visible = bool(self._label.text)
        self._import_button.visible = is_importable(model)


def model_text(model: str, for_check: bool = False) -> str:
    """What there is to say about a model file, as rich text; empty for a released one."""
    if is_released(model):
        return ""
    name = Path(model).name
    if is_importable(model):
        words, colour = _("{name} is no model file. If it holds a model of nnU-Net, import it."), UNUSUAL_COLOUR
    elif not Path(model).is_file():
        words, colour = _("There is no model file {name}."), BAD_COLOUR
    elif not known_tasks(model):
        words, colour = _("The file {name} cannot be used: {problem}."), BAD_COLOUR
    elif is_sample_model(model):
        words, colour = _("Model of the tutorial, {name}: it knows phantoms only, no real images."), UNUSUAL_COLOUR
    elif is_checkable(model):
        words, colour = _("Not chosen by the image: {name}."), UNUSUAL_COLOUR
    elif for_check:
        words, colour = _("No image can be checked with {name}: the model has no reference images."), BAD_COLOUR
    else:
        words = _("Not chosen by the image: {name}. Images are not checked: the model has no reference images.")
        colour = UNUSUAL_COLOUR
    problem = listed_model("", Path(model)).problem or _("this is no model of MultiTaskSeg")
    text = words.format(name=name, problem=problem)
    return f"<p>{badge(_('MODEL'), colour)} {html.escape(text)}</p>"
