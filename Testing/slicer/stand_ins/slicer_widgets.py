"""STAND-INS for the CTK and MRML widgets that the two panels use, just enough to fill, change and draw them."""

from __future__ import annotations

import re
import types

from PySide6.QtCore import Property, QRect, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionButton,
    QToolButton,
)

HEADER_HEIGHT = 26


def _row(widget, *children):
    layout = QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    for child in children:
        layout.addWidget(child)


def ctk_classes(qt: types.ModuleType) -> dict[str, type]:
    """Stand-ins for ``ctkCollapsibleButton``, ``ctkSliderWidget`` and ``ctkPathLineEdit``."""

    class ctkCollapsibleButton(qt.QWidget):
        def __init__(self, *parents):
            super().__init__(*parents)
            self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Preferred)  # as CTK's
            self._text, self._collapsed = "", False
            self._hidden_by_collapse: list = []

        text = Property(str, lambda self: self._text, lambda self, text: setattr(self, "_text", text))
        collapsed = Property(bool, lambda self: self._collapsed, lambda self, value: self._collapse(value))

        def _collapse(self, value):
            self._collapsed = value
            self.setMaximumHeight(HEADER_HEIGHT + 2 if value else 16777215)
            for part in self._hidden_by_collapse:
                part.setVisible(True)
            self._hidden_by_collapse = []
            if value:
                self._hide_parts()

        def _hide_parts(self):
            """Those that are not hidden for another reason; they come back when the button is opened."""
            self._hidden_by_collapse = [part for part in self.children() if part.isWidgetType() and not part.isHidden()]
            for part in self._hidden_by_collapse:
                part.setVisible(False)

        def showEvent(self, _event):
            self.layout().setContentsMargins(9, HEADER_HEIGHT + 6, 9, 6)
            if self._collapsed and not self._hidden_by_collapse:  # the parts came after the property
                self._hide_parts()

        def paintEvent(self, _event):
            option = QStyleOptionButton()
            option.rect = QRect(0, 0, self.size.width(), HEADER_HEIGHT)
            option.text = ("▸  " if self._collapsed else "▾  ") + self._text
            option.state = QStyle.StateFlag.State_Enabled
            self.style().drawControl(QStyle.ControlElement.CE_PushButton, option, QPainter(self), self)

    class ctkSliderWidget(qt.QWidget):
        valueChanged = Signal(float)

        def __init__(self, *parents):
            super().__init__(*parents)
            self._box, self._slider = QDoubleSpinBox(), QSlider(Qt.Orientation.Horizontal)
            self._slider.setRange(0, 1000)
            _row(self, self._slider, self._box)
            self._box.valueChanged.connect(self._changed)

        def _changed(self, value):
            span = (self._box.maximum() - self._box.minimum()) or 1.0
            self._slider.setValue(round(1000 * (value - self._box.minimum()) / span))
            self.valueChanged.emit(value)

        value = Property(float, lambda self: self._box.value(), lambda self, value: self._box.setValue(value))
        minimum = Property(float, lambda self: self._box.minimum(), lambda self, value: self._box.setMinimum(value))
        maximum = Property(float, lambda self: self._box.maximum(), lambda self, value: self._box.setMaximum(value))
        singleStep = Property(float, lambda self: 0.0, lambda self, value: self._box.setSingleStep(value))

    class ctkPathLineEdit(qt.QWidget):
        currentPathChanged = Signal(str)

        def __init__(self, *parents):
            super().__init__(*parents)
            box, self._edit = QComboBox(), qt.QLineEdit()
            box.setEditable(True)
            box.setLineEdit(self._edit)
            self._filters: tuple[str, ...] = ()
            _row(self, box, QToolButton())
            self._edit.textChanged.connect(self._tell)

        def _tell(self, path):
            """As CTK's: about what its filters accept, whether it is there or not; never about nothing at all.

            Of a filter such as ``*.mts.safetensors`` it takes the first word, which no such file ends with.
            """
            words = [word for filter_text in self._filters for word in re.findall(r"\*\.(\w+)", filter_text)]
            pattern = "|".join(rf".*\.{word}?" for word in words) or ".+"
            if re.fullmatch(pattern, path):
                self.currentPathChanged.emit(path)

        currentPath = Property(str, lambda self: self._edit.text, lambda self, path: self._edit.setText(path))
        nameFilters = Property("QStringList", lambda self: self._filters, lambda self, f: self._set_filters(f))

        def _set_filters(self, filters):
            self._filters = tuple(filters)

    return {kind.__name__: kind for kind in (ctkCollapsibleButton, ctkSliderWidget, ctkPathLineEdit)}


def mrml_classes(qt: types.ModuleType) -> dict[str, type]:
    """Stand-ins for ``qMRMLWidget`` and ``qMRMLNodeComboBox``; the latter lists the nodes of the real scene."""

    class qMRMLWidget(qt.QWidget):
        def __init__(self, *parents):
            super().__init__(*parents)
            self.scene_receivers = []

        def setMRMLScene(self, scene):
            for receiver in self.scene_receivers:
                receiver.setMRMLScene(scene)

    class qMRMLNodeComboBox(qt.QWidget):
        currentNodeChanged = Signal(object)

        def __init__(self, *parents):
            super().__init__(*parents)
            self._box, self._scene, self._types, self._tags = QComboBox(), None, [], []
            _row(self, self._box)
            self._box.setFocusProxy(self)  # as Slicer's
            self._box.currentIndexChanged.connect(lambda *_: self.currentNodeChanged.emit(self.currentNode()))

        nodeTypes = Property("QStringList", lambda self: tuple(self._types), lambda self, t: self._set_types(t))
        noneEnabled = Property(bool, lambda self: True, lambda self, value: None)
        addEnabled = Property(bool, lambda self: False, lambda self, value: None)
        removeEnabled = Property(bool, lambda self: False, lambda self, value: None)
        showChildNodeTypes = Property(bool, lambda self: False, lambda self, value: None)

        def _set_types(self, node_types):
            self._types = list(node_types)
            self._refresh()

        def _pythonqt_connect(self, signal, slot):
            """Under the name that it has in Slicer, where nodes are C++ objects."""
            if signal == "currentNodeChanged(vtkMRMLNode*)":
                return self.currentNodeChanged.connect(slot)
            return super()._pythonqt_connect(signal, slot)

        def setMRMLScene(self, scene):
            if self._scene is not None:
                self.forget_scene()
            if scene is None:
                return
            self._scene = scene
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent)
            self._tags = [scene.AddObserver(event, lambda *_: self._refresh()) for event in events]
            self._refresh()

        def forget_scene(self):
            for tag in self._tags:
                self._scene.RemoveObserver(tag)
            self._scene, self._tags = None, []

        def _refresh(self):
            wanted = self._box.currentData()
            self._box.blockSignals(True)
            self._box.clear()
            self._box.addItem("None", "")
            for index in range(self._scene.GetNumberOfNodes() if self._scene else 0):
                node = self._scene.GetNthNode(index)
                if node.GetClassName() in self._types and not node.GetHideFromEditors():
                    self._box.addItem(node.GetName(), node.GetID())
            self._box.setCurrentIndex(max(self._box.findData(wanted), 0))
            self._box.blockSignals(False)
            if (self._box.currentData() or "") != (wanted or ""):
                self.currentNodeChanged.emit(self.currentNode())

        def currentNode(self):
            identifier = self._box.currentData()
            return self._scene.GetNodeByID(identifier) if self._scene and identifier else None

        def setCurrentNode(self, node):
            self._box.setCurrentIndex(max(self._box.findData(node.GetID() if node else ""), 0))

    return {kind.__name__: kind for kind in (qMRMLWidget, qMRMLNodeComboBox)}
