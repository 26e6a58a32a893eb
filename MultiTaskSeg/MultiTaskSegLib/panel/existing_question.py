"""Asks what is to become of the earlier result of a volume, before another run is started."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.scene.earlier_result import KEEP, REPLACE, earlier_results, results_of

ASK = "ask"
AUTO = "auto"


def existing_choices() -> list[tuple[str, str]]:
    """The choices for the combo box: value and title."""
    return [(ASK, _("Ask")), (KEEP, _("Keep both")), (REPLACE, _("Replace by the new one"))]


def decide_existing(choice: str, volume_node: slicer.vtkMRMLScalarVolumeNode, task: str, parent: Any) -> str | None:
    """`KEEP` or `REPLACE`, as chosen or by asking; None when the user wants no run at all.

    Asks only where there is an earlier result that a run could replace, and never while Slicer tests itself.
    """
    if choice in (KEEP, REPLACE):
        return choice
    earlier = results_of(volume_node) if task == AUTO else earlier_results(volume_node, task)
    if not earlier or slicer.app.testingEnabled():
        return KEEP
    names = "\n".join(node.GetName() for node in earlier)
    box = qt.QMessageBox(parent)
    box.setWindowTitle(_("MultiTaskSeg"))
    box.setText(_("There is a result already:\n{names}\n\nReplace it if the same task is found?").format(names=names))
    box.setInformativeText(_("A good result is never replaced by one that is out of distribution or empty."))
    box.setStandardButtons(qt.QMessageBox.Yes | qt.QMessageBox.No | qt.QMessageBox.Cancel)
    box.button(qt.QMessageBox.Yes).setText(_("Replace"))
    box.button(qt.QMessageBox.No).setText(_("Keep both"))
    # What a stray Return or Escape does must not cost a result.
    box.setDefaultButton(qt.QMessageBox.No)
    box.setEscapeButton(qt.QMessageBox.Cancel)
    answer = box.exec_()
    if answer == qt.QMessageBox.Cancel:
        return None
    return REPLACE if answer == qt.QMessageBox.Yes else KEEP
