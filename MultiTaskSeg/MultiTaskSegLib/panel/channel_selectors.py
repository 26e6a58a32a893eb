"""One selector of a volume for each channel that the chosen task takes, named as the task names it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.panel.element.keyboard_focus import make_reachable
from MultiTaskSegLib.panel.element.plain_tip import plain_tip
from MultiTaskSegLib.task_list import known_tasks, wanted_inputs

ROLE = "channel"  # of the references that the parameter node has to the volumes of further channels


class ChannelSelectors:
    """Adds selectors below that of the panel, which is the first channel's, while the chosen task wants them."""

    def __init__(self, first_label: Any, first_selector: Any, layout: Any) -> None:
        """Take over the widgets.

        Args:
            first_label, first_selector: of the first channel, which are always there.
            layout: the form in whose first row these are.
        """
        self._first_label, self._first_selector = first_label, first_selector
        self._layout, self._title = layout, first_label.text
        first_label.setTextFormat(qt.Qt.PlainText)
        self._parameters: Any = None
        self._rows: list[tuple[Any, Any]] = []
        self._names: tuple[str, ...] = ()

    def show(self, parameters: Any) -> None:
        """Offer a selector for each channel of the task that is chosen; one alone for tasks of one channel."""
        self._parameters = None  # what is filled in now is no choice of the user
        self._names = wanted_inputs(known_tasks(parameters.modelPath or None), parameters.task)
        while len(self._rows) < len(self._names) - 1:
            self._add_row()
        self._first_label.text = _plain(self._names[0]) if self._names else self._title
        for number, (label, selector) in enumerate(self._rows, 1):
            is_wanted = number < len(self._names)
            label.visible = selector.visible = is_wanted
            if is_wanted:
                label.text = _plain(self._names[number])
                tip = _("The image of the channel {name}.").format(name=self._names[number])
                selector.toolTip = plain_tip(tip)
                selector.setCurrentNode(channel_of(parameters, number))
        self._parameters = parameters

    def chosen(self, parameters: Any) -> tuple[Any, str, str]:
        """Volume, task and model that are chosen, none of them without parameters; for tasks of several channels a list
        of volumes in their order, with None for each that is not chosen."""
        if parameters is None:
            return None, "", ""
        first, others = parameters.inputVolume, range(1, len(self._names))
        volumes = [first, *(channel_of(parameters, number) for number in others)] if self._names else first
        return volumes, parameters.task, parameters.modelPath

    def release(self) -> None:
        """The panel is about to go: let go of the scene."""
        for _label, selector in self._rows:
            selector.setMRMLScene(None)

    def _add_row(self) -> None:
        number = len(self._rows) + 1
        label, selector = qt.QLabel(), slicer.qMRMLNodeComboBox()
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        selector.showChildNodeTypes = selector.addEnabled = selector.removeEnabled = False
        selector.noneEnabled = True
        selector.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        selector.setMRMLScene(slicer.mrmlScene)
        selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self._choose(number, node))
        label.setTextFormat(qt.Qt.PlainText)
        make_reachable(SimpleNamespace(selector=selector))
        label.setBuddy(selector)
        self._layout.insertRow(number, label, selector)
        qt.QWidget.setTabOrder(self._rows[-1][1] if self._rows else self._first_selector, selector)
        self._rows.append((label, selector))

    def _choose(self, number: int, node: Any) -> None:
        if self._parameters is not None:
            parameter_node = self._parameters.parameterNode
            parameter_node.SetNodeReferenceID(f"{ROLE}{number}", None if node is None else node.GetID())
            parameter_node.Modified()


def channel_of(parameters: Any, number: int) -> Any:
    """The volume that is chosen for a further channel, from 1; None where there is none."""
    return parameters.parameterNode.GetNodeReference(f"{ROLE}{number}")


def _plain(name: str) -> str:
    """A name as the text of a label, in which an ampersand would mark a letter."""
    return f"{name.replace('&', '&&')}:"
