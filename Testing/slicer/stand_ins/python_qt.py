"""STAND-IN for PythonQt on PySide6: properties instead of getters, ``connect("signal(type)", slot)``, ``.name``."""

from __future__ import annotations

import types
import xml.etree.ElementTree as ElementTree

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

VIRTUAL_GETTERS = ("sizeHint", "minimumSizeHint", "text")  # of the properties of widgets; the last in QProgressBar


class PythonQtObject:
    """What PythonQt adds to every QObject. An unknown signal is an error here; PythonQt only prints a line."""

    def __getattribute__(self, name):
        # PySide6 resolves connect() in C++ before any override, so the name has to be caught on the way.
        if name in ("connect", "disconnect"):
            name = f"_pythonqt_{name}"
        return super().__getattribute__(name)

    def _pythonqt_signature(self, signal: str) -> str:
        signature = bytes(QtCore.QMetaObject.normalizedSignature(signal)).decode()
        if self.metaObject().indexOfSignal(signature) < 0:
            raise RuntimeError(f"{type(self).__name__} has no signal {signature}")
        return signature

    def _pythonqt_connect(self, signal, slot):
        return QtCore.QObject.connect(self, QtCore.SIGNAL(self._pythonqt_signature(signal)), slot)

    def _pythonqt_disconnect(self, signal, slot):
        return QtCore.QObject.disconnect(self, QtCore.SIGNAL(self._pythonqt_signature(signal)), slot)

    def exec_(self):
        if isinstance(self, QtWidgets.QMessageBox):
            raise AssertionError(f"a test was asked, and has not said what it answers: {self.text}")
        return self.exec()

    @property
    def name(self):
        return self.property("objectName")


def _meta_property(native: type, name: str) -> property:
    """A property of Qt as one of Python.

    Before Qt calls a virtual getter, PySide6 looks an override up in Python and so finds this property: read through
    Qt, it would ask for itself without end. Called by its class the getter is the one in C++, without a look-up.
    """

    def read(self):
        return getattr(native, name)(self) if name in VIRTUAL_GETTERS else self.property(name)

    def write(self, value):
        if not self.setProperty(name, value):
            raise TypeError(f"{type(self).__name__}.{name} cannot be {value!r}")

    return property(read, write)


def pythonqt(native: type) -> type:
    """A subclass of a PySide6 class with the manners of PythonQt."""
    meta = native.staticMetaObject
    names = [meta.property(index).name() for index in range(meta.propertyCount())]
    return type(native.__name__, (PythonQtObject, native), {name: _meta_property(native, name) for name in names})


def build_qt() -> types.ModuleType:
    """The module ``qt``: PySide6's classes, widgets and timers with PythonQt manners."""
    qt = types.ModuleType("qt")
    for library in (QtCore, QtGui, QtWidgets):
        for name in dir(library):
            if name.startswith("Q"):
                setattr(qt, name, getattr(library, name))
    for name in dir(QtWidgets):
        native = getattr(QtWidgets, name)
        if isinstance(native, type) and issubclass(native, QtWidgets.QWidget):
            setattr(qt, name, pythonqt(native))
    qt.QTableWidget = _with_headers(qt)
    qt.QTimer, qt.QShortcut = pythonqt(QtCore.QTimer), pythonqt(QtGui.QShortcut)
    qt.Qt = QtCore.Qt
    return qt


def _with_headers(qt: types.ModuleType) -> type:
    """A table whose headers have the manners of PythonQt, too."""

    class QTableWidget(qt.QTableWidget):
        def __init__(self, *parents):
            super().__init__(*parents)
            across = qt.QHeaderView(QtCore.Qt.Orientation.Horizontal, self)
            across.setSectionsClickable(True)
            across.setHighlightSections(True)
            self.setHorizontalHeader(across)

    return QTableWidget


def loader_class(qt: types.ModuleType, custom: dict[str, type]) -> type:
    """A ``QUiLoader`` that makes PythonQt widgets and the given custom ones; an unknown class is an error."""

    class Loader(QtUiTools.QUiLoader):
        def createWidget(self, class_name, parent=None, name=""):
            made = custom.get(class_name) or getattr(qt, class_name, None)
            if made is None:
                raise RuntimeError(f"no widget class {class_name} ({name})")
            widget = made(parent) if parent is not None else made()
            widget.setObjectName(name)
            return widget

        def load(self, file, parent=None):
            top = super().load(file, parent)
            top.scene_receivers = []
            for connection in ElementTree.parse(file.fileName()).iterfind(".//connection"):
                receiver = top.findChild(QtWidgets.QWidget, connection.findtext("receiver"))
                if receiver is None or not connection.findtext("signal", "").startswith("mrmlSceneChanged("):
                    raise RuntimeError(f"unknown connection to {connection.findtext('receiver')}")
                top.scene_receivers.append(receiver)
            return top

    return Loader
