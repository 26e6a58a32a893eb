"""Brings the volume that is checked into the slice views, with its map of foreign places."""

from __future__ import annotations

from typing import Any

from MultiTaskSegLib.scene.slice_layers import hide_results_of_others, show_volume
from OODCheckLib.foreign_map import foreign_map, show_foreign_map


class VolumeDisplay:
    """Acts on the views when another volume is chosen or its map is new, and leaves them alone otherwise."""

    def __init__(self) -> None:
        self._shown: tuple[Any, ...] = (None, None)

    def adopt(self, volume_node: Any) -> None:
        """Take a volume for shown, as after a scene was loaded: its views are as they were saved."""
        self._shown = _state(volume_node)

    def apply(self, volume_node: Any) -> None:
        """Show a volume; does nothing without one, and when it is the one that was shown."""
        state = _state(volume_node)
        if volume_node is None or state == self._shown:
            return
        self._shown = state
        show_volume(volume_node)
        hide_results_of_others(volume_node)
        show_foreign_map(volume_node)


def _state(volume_node: Any) -> tuple[Any, ...]:
    return (None, None) if volume_node is None else (volume_node, foreign_map(volume_node))
