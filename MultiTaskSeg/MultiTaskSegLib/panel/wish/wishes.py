"""What the panel lets one wish for: a region, structures, a thorough check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MultiTaskSegLib.panel.wish.region_choice import RegionChoice
from MultiTaskSegLib.panel.wish.structure_choice import StructureChoice
from MultiTaskSegLib.panel.wish.thorough_choice import ThoroughChoice
from MultiTaskSegLib.task_list import known_tasks


class Wishes:
    """All choices, brought up to date as one."""

    def __init__(
        self,
        ui: Any,
        parameters: Callable[[], Any],
        fail: Callable[[str], object],
        store: Callable[[Any], object],
    ) -> None:
        """Take over the widgets; the arguments are those of `RegionChoice` and `StructureChoice`."""
        self._region, self._structures = RegionChoice(ui, parameters, fail), StructureChoice(ui, store)
        self._thorough = ThoroughChoice(ui)

    def show(self, parameters: Any) -> None:
        """Offer what is possible with what is chosen; nothing without parameters."""
        self._region.show(parameters)
        self._thorough.show(parameters)
        if parameters is not None:
            self._structures.show(parameters, known_tasks(parameters.modelPath or None))
