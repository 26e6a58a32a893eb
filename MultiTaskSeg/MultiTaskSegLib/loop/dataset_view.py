"""The part of the panel that keeps corrected results as cases of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from MultiTaskSegLib.correction.keeping import add_to_dataset
from MultiTaskSegLib.dataset.training_case import Addition
from MultiTaskSegLib.loop.path_field import PathField
from MultiTaskSegLib.panel.summary import error_text, notice_text
from MultiTaskSegLib.runtime.errors import MtsError


class DatasetView:
    """Two buttons, the folder, and what the image shows."""

    def __init__(self, ui: Any, segmentation: Callable[[], Any]) -> None:
        """Take over the widgets.

        Args:
            ui: with ``datasetPathLineEdit``, ``channelNamesLineEdit``, ``addToDatasetButton``, ``addAllButton`` and
                ``datasetMessageLabel``.
            segmentation: returns the result that is shown, or None.
        """
        self.ui, self._segmentation = ui, segmentation
        self.folder = PathField(ui.datasetPathLineEdit, "datasetFolder")
        ui.addToDatasetButton.connect("clicked(bool)", lambda _checked: self._add(self._segmentation()))
        ui.addAllButton.connect("clicked(bool)", lambda _checked: self._add(None))
        self.show()

    def show(self) -> None:
        """Bring the widgets up to date."""
        self.ui.addToDatasetButton.enabled = self._segmentation() is not None

    @property
    def channel_names(self) -> Sequence[str]:
        """What the user says that the channels show; none for what the model says."""
        return [name.strip() for name in str(self.ui.channelNamesLineEdit.text).split(",") if name.strip()]

    def _add(self, segmentation: Any) -> None:
        folder = self.folder.path or self._asked()
        if not folder:
            return  # the user closed the window
        try:
            added = add_to_dataset(segmentation, folder, self.channel_names)
        except MtsError as error:
            self._say(error_text(str(error)))
            return
        self._say(notice_text(_added_text(added)))

    def _asked(self) -> str:
        folder = str(qt.QFileDialog.getExistingDirectory(self.ui.addToDatasetButton.window(), _("Folder of a dataset")))
        self.folder.choose(folder)
        return self.folder.path

    def _say(self, text: str) -> None:
        self.ui.datasetMessageLabel.text = text
        self.ui.datasetMessageLabel.visible = True


def _added_text(added: Addition) -> str:
    what = _("the new dataset") if added.is_new else _("the dataset")
    text = _("added to {what} {folder}: {cases}").format(
        what=what, folder=added.folder.name, cases=", ".join(added.cases)
    )
    left_out = "; ".join(dict.fromkeys(added.left_out.values()))
    return _("{text}. Left out: {reasons}").format(text=text, reasons=left_out) if left_out else text
