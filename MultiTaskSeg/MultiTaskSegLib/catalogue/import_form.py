"""Asks what has to be known before a model of nnU-Net is imported: which one, its folds, name and licence."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.panel.element.choice_list import ChoiceList
from MultiTaskSegLib.panel.element.text_size import letters_wide, lines_high

UI_FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "UI"
ALL = "all of them"
LICENCES = ("unknown", "CC0 1.0", "CC BY 4.0", "CC BY-SA 4.0", "CC BY-NC 4.0", "CC BY-NC-SA 4.0", "Apache 2.0", "MIT")


@dataclass(frozen=True)
class ImportChoice:
    """What is to be imported.

    Attributes:
        model: the entry of the worker's list.
        folds: names of its folds.
        name: by which it will be known.
        licence: of the weights.
    """

    model: Mapping[str, Any]
    folds: tuple[str, ...]
    name: str
    licence: str

    def request(self) -> dict[str, Any]:
        """The part of the request to the worker; what the folder's name does not tell is left out."""
        told = {key: self.model[key] for key in ("configuration", "trainer", "plans") if self.model.get(key)}
        return {**told, "folds": list(self.folds), "licence": self.licence, "name": self.name}


class ImportForm:
    """A small window, which asks without holding anything up."""

    def __init__(
        self, parent: Any, source: str, models: Sequence[Mapping[str, Any]], accepted: Callable[[ImportChoice], object]
    ) -> None:
        """Show it.

        Args:
            parent: the window above which it appears.
            source: the folder or zip file.
            models: what the worker has found in it, at least one.
            accepted: is called with the choice; never when the user does not want to import.
        """
        self._models, self._accepted = list(models), accepted
        self.dialog = slicer.util.loadUI(str(UI_FOLDER / "ImportForm.ui"))
        self.dialog.setParent(parent, qt.Qt.Dialog)
        self.ui = ui = slicer.util.childWidgetVariables(self.dialog)
        ui.sourceLabel.text = html.escape(source)
        self.dialog.resize(letters_wide(self.dialog, 78), lines_high(self.dialog, 17))
        self._model_list = ChoiceList(ui.modelComboBox, self._on_model)
        self._fold_list = ChoiceList(ui.foldsComboBox, lambda _value: None)
        entries = [(str(number), _title(model)) for number, model in enumerate(self._models)]
        ui.modelComboBox.enabled = len(entries) > 1
        for licence in LICENCES:
            ui.licenceComboBox.addItem(licence)
        ui.noteLabel.text = html.escape(
            _(
                "The model gets no reference images: results carry no verdict on the image until they are added with"
                " multitaskseg-trainer reference."
            )
        )
        ui.nameEdit.connect("textChanged(QString)", lambda _text: self._update())
        ui.licenceComboBox.connect("editTextChanged(QString)", lambda _text: self._update())
        ui.importButton.connect("clicked(bool)", lambda _checked: self._on_import())
        ui.cancelButton.connect("clicked(bool)", lambda _checked: self.dialog.reject())
        self._on_model(self._model_list.offer(entries, "0"))
        self.dialog.open()

    def _on_model(self, value: str) -> None:
        """Another model has other folds, and is called otherwise."""
        model = self._models[int(value)]
        folds, usual = [str(fold) for fold in model["folds"]], _usual_folds(model)
        entries = [(ALL, _("All ({folds})").format(folds=", ".join(usual)))] if len(usual) > 1 else []
        self._fold_list.offer([*entries, *((fold, _("Fold {name}").format(name=fold)) for fold in folds)], ALL)
        self.ui.foldsComboBox.enabled = len(folds) > 1
        self.ui.nameEdit.text = _name(model)
        self._update()

    def _update(self) -> None:
        self.ui.importButton.enabled = bool(self.ui.nameEdit.text.strip() and self._licence())

    def _licence(self) -> str:
        return str(self.ui.licenceComboBox.currentText).strip()

    def _on_import(self) -> None:
        model = self._models[int(self.ui.modelComboBox.currentData)]
        fold = str(self.ui.foldsComboBox.currentData)
        folds = _usual_folds(model) if fold == ALL else (fold,)
        choice = ImportChoice(model, folds, self.ui.nameEdit.text.strip(), self._licence())
        self.dialog.accept()
        self._accepted(choice)


def _usual_folds(model: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that are averaged where none is chosen: neither copies nor the fold of all cases, nor unfinished ones."""
    return tuple(str(fold) for fold in model["usual"])


def _title(model: Mapping[str, Any]) -> str:
    """A model for people: its configuration, and who trained it."""
    words = [str(model[key]) for key in ("configuration", "trainer", "plans") if model.get(key)]
    place = str(model.get("place", ""))
    dataset = "" if place in ("", ".") else f"{place.split('/')[0]}: "
    return dataset + (", ".join(words) or _("a renamed folder"))


def _name(model: Mapping[str, Any]) -> str:
    """A name to begin with."""
    parts = [part for part in str(model.get("place", "")).split("/") if part not in ("", ".")]
    dataset = parts[-2] if len(parts) > 1 else ""
    return "_".join(word for word in (dataset, str(model.get("configuration", ""))) if word) or "imported"
