"""STAND-IN for ``slicer.parameterNodeWrapper``: a typed view of a real ``vtkMRMLScriptedModuleNode``.

It has those traits of Slicer's own that code can stumble over:

- A wrapper holds the values of its node in a cache, which an observer per parameter brings up to date whenever the node
  is modified. A parameter that the node has lost, as when the scene is closed, is written anew.
- ``connectGui`` returns nothing, so that what it connects cannot be disconnected; ``connectParametersToGui`` returns a
  tag for it.
- Either leaves an observer on the node for good, and with it the wrapper (as Slicer did until 5.10).
- A selector of nodes offers the types that the annotation names, whatever the .ui file says.
- Alternatives are told with ``typing.Union``, not with ``|``, and take None only when it is among them.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass

import slicer
import vtk

PROPERTY = "SlicerParameterName"
_own: list[object] = []
_added: list[tuple[object, int]] = []


def own_observer_count(node) -> int:
    """How many observers wrappers have put on a node for themselves; Slicer's own never take all of them off."""
    return sum(observed is node for observed in _own)


def added_observer_count(node) -> int:
    """How many observers others have put on a node by way of its wrapper and not taken off. A node does not tell."""
    return sum(observed is node for observed, _tag in _added)


@dataclass
class Choice:
    """One of these values."""

    choices: list

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be in one of the following: {self.choices}")


@dataclass
class WithinRange:
    """A number between these two."""

    minimum: float
    maximum: float

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


def _is_node(kind) -> bool:
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


class _Parameter:
    """Writes one parameter into a node and reads it back."""

    def __init__(self, name: str, hint, default) -> None:
        arguments = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
        self.name, self.kind, self.validators = name, arguments[0], arguments[1:]
        self.kinds = typing.get_args(self.kind) if typing.get_origin(self.kind) is typing.Union else (self.kind,)
        if not all(kind in (str, bool, int, float, type(None)) or _is_node(kind) for kind in self.kinds):
            raise Exception(f"Unable to create serializer for type: {self.kind}")
        self.default = default

    def key(self, kind) -> str:
        return self.name if len(self.kinds) == 1 else f"{self.name}_{self.kinds.index(kind)}"

    def kind_of(self, value):
        """The first of the alternatives that takes a value."""
        if len(self.kinds) == 1:
            kind = self.kinds[0]
            if value is None and not _is_node(kind):
                raise ValueError("Value must not be None")
            accepted = (int, float) if kind is float else kind
            if value is not None and not isinstance(value, accepted):
                raise TypeError(f"Value must be of type '{kind}', is type '{type(value)}' value '{value}'")
            return kind
        for kind in self.kinds:
            if isinstance(value, kind):
                return kind
        raise TypeError(f"Unable to write value '{value}' of type '{type(value)}'")

    def is_in(self, node) -> bool:
        return any(node.HasParameter(self.key(kind)) for kind in self.kinds)

    def write(self, node, value) -> None:
        kind = self.kind_of(value)
        for validator in self.validators:
            validator.validate(value)
        with slicer.util.NodeModify(node):
            for other in self.kinds if len(self.kinds) > 1 else ():
                node.UnsetParameter(self.key(other))
                node.RemoveNodeReferenceIDs(self.key(other))
            if _is_node(kind):
                node.SetParameter(self.key(kind), "")
                node.SetNodeReferenceID(self.key(kind), value.GetID() if value is not None else None)
            else:
                node.SetParameter(self.key(kind), str(value))

    def read(self, node):
        if not self.is_in(node):
            self.write(node, self.default)
        kind = next(kind for kind in self.kinds if node.HasParameter(self.key(kind)))
        if _is_node(kind):
            return node.GetNodeReference(self.key(kind))
        if kind is type(None):
            return None
        text = node.GetParameter(self.key(kind))
        return text == "True" if kind is bool else kind(text)


class _Cached:
    """The value of a parameter, read again whenever the node is modified."""

    def __init__(self, parameter: _Parameter, node) -> None:
        self.parameter, self.node, self._is_writing = parameter, node, False
        self.value = parameter.read(node)
        _observe(node, self._on_modified)

    def _on_modified(self, *_):
        if not self._is_writing:
            self.value = self.parameter.read(self.node)

    def write(self, value) -> None:
        self._is_writing = True
        try:
            with slicer.util.NodeModify(self.node):
                self.parameter.write(self.node, value)
                self.value = self.parameter.read(self.node)
        finally:
            self._is_writing = False


def _observe(node, callback) -> None:
    node.AddObserver(vtk.vtkCommand.ModifiedEvent, callback)
    _own.append(node)


def parameterNodeWrapper(described: type) -> type:
    """Make typed properties over a parameter node out of annotations; widgets are bound by a dynamic property."""
    hints = typing.get_type_hints(described, include_extras=True)
    parameters = {}
    for name, hint in hints.items():
        bare = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
        zero = {str: "", bool: False, int: 0, float: 0}.get(bare)
        parameters[name] = _Parameter(name, hint, getattr(described, name, zero))
    members = {name: _property(name) for name in hints}
    members.update(allParameters=parameters, hints=hints, __doc__=described.__doc__)
    return type(described.__name__, (_Wrapper,), members)


def _property(name: str) -> property:
    return property(
        lambda self: self._cached[name].value,
        lambda self, value: self._cached[name].write(value),
    )


class _Wrapper:
    def __init__(self, parameterNode):
        self.parameterNode = parameterNode
        self._updating = False
        self._guis: dict[int, dict] = {}
        self._next_tag = 0
        self._cached = {}
        for name, parameter in self.allParameters.items():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default)
            self._cached[name] = _Cached(parameter, parameterNode)

    def AddObserver(self, event, callback, priority=0.0):
        tag = self.parameterNode.AddObserver(event, callback, priority)
        _added.append((self.parameterNode, tag))
        return tag

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)
        _added.remove((self.parameterNode, tag))

    def Modified(self):
        self.parameterNode.Modified()

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        self.parameterNode.EndModify(wasModified)

    def connectGui(self, ui) -> None:
        named = {widget.property(PROPERTY): widget for widget in vars(ui).values() if widget.property(PROPERTY)}
        self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping) -> int:
        for name in mapping:
            if name not in self.allParameters:
                raise ValueError(f"Cannot find a param with the given name: {name}")
        bound = {name: _bind(widget, self.allParameters[name]) for name, widget in mapping.items()}
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        self._guis[tag] = bound
        for name, binding in bound.items():
            binding.show(getattr(self, name))
            binding.callback = lambda name=name, binding=binding: self._read(name, binding)
        _observe(self.parameterNode, lambda *_: self._show())
        return tag

    def disconnectGui(self, tag) -> None:
        for binding in self._guis.pop(tag, {}).values():
            binding.callback = None

    def _read(self, name, binding):
        with slicer.util.NodeModify(self):
            if not self._updating:
                setattr(self, name, binding.read())

    def _show(self):
        if self._updating:
            return
        self._updating = True
        try:
            with slicer.util.NodeModify(self):
                for bound in self._guis.values():
                    for name, binding in bound.items():
                        binding.show(getattr(self, name))
        finally:
            self._updating = False


def _bind(widget, parameter: _Parameter) -> types.SimpleNamespace:
    """How to read, show and follow one widget."""
    binding = types.SimpleNamespace(callback=None)

    def changed(*_):
        if binding.callback is not None:
            binding.callback()

    kind = (type(widget).__name__, parameter.kind)
    if kind[0] == "qMRMLNodeComboBox" and all(_is_node(kind) or kind is type(None) for kind in parameter.kinds):
        widget.nodeTypes = [kind().GetClassName() for kind in parameter.kinds if _is_node(kind)]
        widget.currentNodeChanged.connect(changed)
        binding.read, binding.show = widget.currentNode, widget.setCurrentNode
    elif kind == ("QCheckBox", bool):
        widget.stateChanged.connect(changed)
        binding.read = lambda: widget.checked
        binding.show = lambda value: setattr(widget, "checked", value)
    elif kind == ("ctkSliderWidget", float) and parameter.validators:
        bounds = parameter.validators[0]
        widget.minimum, widget.maximum = bounds.minimum, bounds.maximum
        widget.valueChanged.connect(changed)
        binding.read = lambda: widget.value
        binding.show = lambda value: setattr(widget, "value", value)
    elif kind == ("QComboBox", str) and parameter.validators:
        choices = parameter.validators[0].choices
        widget.clear()
        widget.addItems([str(choice) for choice in choices])
        widget.currentIndexChanged.connect(changed)
        binding.read = lambda: choices[widget.currentIndex]
        binding.show = lambda value: widget.setCurrentIndex(choices.index(value))
    else:
        raise RuntimeError(f"Unable to create GUI connector from datatype '{kind[1]}' to widget type '{kind[0]}'")
    return binding
