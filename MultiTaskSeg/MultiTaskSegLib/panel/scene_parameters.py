"""The parameter node of the current scene, followed through everything that happens to the scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from MultiTaskSegLib.scene.image_node import active_image

PARAMETER_PROPERTY = "SlicerParameterName"  # of widgets in .ui files, as Slicer's own connectGui reads it


class SceneParameters:
    """Keeps the widgets of a panel bound to the parameter node of the scene that is open.

    A panel owns one. ``node`` is the typed parameter node, or None while a scene is being closed. It must have the
    parameter ``inputVolume``.
    """

    def __init__(
        self,
        ui: Any,
        fetch: Callable[[], Any],
        *,
        changed: Callable[[], object],
        attached: Callable[[], object] = lambda: None,
    ) -> None:
        """Bind at once.

        Args:
            ui: the widgets of the panel; those with the property ``SlicerParameterName`` are bound.
            fetch: returns the typed parameter node of the scene, mostly ``logic.getParameterNode``; the same object for
                the same node of the scene, because Slicer never lets go entirely of what it connects to one.
            changed: is called whenever a parameter has changed, and whenever there is another node or none.
            attached: is called when there is another node, before ``changed``.
        """
        self.node: Any = None
        self._fetch, self._changed, self._attached = fetch, changed, attached
        named = {widget.property(PARAMETER_PROPERTY): widget for widget in vars(ui).values()}
        self._widgets = {name: widget for name, widget in named.items() if name}
        self._bound: Any = None  # the node that the widgets follow, also while the scene is being closed
        self._gui_tag: Any = None
        self._observations = VTKObservationMixin()
        scene = slicer.mrmlScene
        self._observations.addObserver(scene, scene.StartCloseEvent, self._on_start_close)
        for event in (scene.EndCloseEvent, scene.EndImportEvent, scene.EndRestoreEvent):
            self._observations.addObserver(scene, event, self._on_other_content)
        self.attach()

    def attach(self) -> None:
        """Bind to the parameter node of the scene, a new one if need be, and select a volume if none is selected."""
        self.detach()
        self.node = self._fetch()
        self._connect_widgets()
        self.select_volume()
        self._observations.addObserver(self.node, vtk.vtkCommand.ModifiedEvent, self._on_modified)
        self._attached()
        self._changed()

    def detach(self) -> None:
        """Let go of the parameter node."""
        if self.node is not None:
            self._observations.removeObserver(self.node, vtk.vtkCommand.ModifiedEvent, self._on_modified)
            self.node = None

    def enter(self) -> None:
        """The user opens the panel: make sure that it is bound and that a volume is selected."""
        if self.node is None:
            self.attach()
        else:
            self.select_volume()

    def release(self) -> None:
        """The panel is about to go: leave no observer behind."""
        self.detach()
        self._disconnect_widgets()
        self._observations.removeObservers()

    def select_volume(self) -> None:
        """Select the active volume for the user when none is selected."""
        if self.node.inputVolume is None:
            self.node.inputVolume = active_image(slicer.mrmlScene)

    def _connect_widgets(self) -> None:
        """Let the widgets follow the present node; where they do, look again at all its values."""
        if self.node is self._bound:
            # What it refers to may have come into the scene after its values were read.
            self.node.Modified()
            return
        self._disconnect_widgets()
        self._bound = self.node
        # Not connectGui: it keeps the tag to itself, without which nothing can be disconnected again.
        self._gui_tag = self.node.connectParametersToGui(self._widgets)

    def _disconnect_widgets(self) -> None:
        if self._bound is not None:
            self._bound.disconnectGui(self._gui_tag)
            self._bound = None

    def _on_modified(self, _caller: vtk.vtkObject, _event: str) -> None:
        self._changed()

    def _on_start_close(self, _caller: vtk.vtkObject, _event: str) -> None:
        self.detach()
        self._changed()

    def _on_other_content(self, _caller: vtk.vtkObject, _event: str) -> None:
        # An import may bring the parameter node of the saved scene, which replaces the values of the present one.
        if not slicer.mrmlScene.IsClosing():
            self.attach()
