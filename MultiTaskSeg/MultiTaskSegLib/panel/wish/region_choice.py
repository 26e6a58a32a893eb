"""The choice of a region of interest: a selector, a button that makes one of the views, and what is checked with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.scene.wish.region_node import add_region_of_views


class RegionChoice:
    """Keeps button and check box in step with the selected region."""

    def __init__(self, ui: Any, parameters: Callable[[], Any], fail: Callable[[str], object]) -> None:
        """Take over the widgets.

        Args:
            ui: of the panel.
            parameters: the parameter node that is shown, or None.
            fail: is told in words why no region could be made.
        """
        self._ui, self._parameters, self._fail = ui, parameters, fail
        ui.regionFromViewsButton.connect("clicked(bool)", self.make)

    def show(self, parameters: Any) -> None:
        """Offer what is possible with the volume and the region that are chosen."""
        self._ui.regionFromViewsButton.enabled = parameters is not None and parameters.inputVolume is not None
        self._ui.wholeCheckBox.visible = parameters is not None and parameters.region is not None

    def make(self, _checked: bool = False) -> None:
        """Make a region of what the slice views show, and select it."""
        node = self._parameters()
        try:
            node.region = add_region_of_views(node.inputVolume)
        except MtsError as error:
            self._fail(str(error))
