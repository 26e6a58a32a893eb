"""Brings the volume that is checked into the slice views, with its map of foreign places."""

from __future__ import annotations

from typing import Any

import slicer

from MultiTaskSegLib.scene.slice_layers import hide_results_of_others, show_volume
from OODCheckLib.foreign_map import foreign_map, show_foreign_map


class VolumeDisplay:
    """Acts on the views when another volume is chosen or its map is new, and leaves them alone otherwise."""

    def __init__(self) -> None:
        self._shown: tuple[Any, ...] = (None, None)
        self._is_new_scene = True

    def leave_alone(self) -> None:
        """Another scene is there: its views are as they were saved, until something is chosen."""
        self._is_new_scene = True

    def follow(self, volume_node: Any, is_open: bool) -> None:
        """Show the selected volume, if the panel is open; what a scene brings with it is taken for shown."""
        if self._is_new_scene or slicer.mrmlScene.IsBatchProcessing():
            self._is_new_scene = False
            self._shown = _state(volume_node)
        elif is_open:
            self.apply(volume_node)

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
