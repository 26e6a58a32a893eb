"""Brings the heatmap of the shown result into the slice views, as the controls of the panel say."""

from __future__ import annotations

from typing import Any

from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE, UNCERTAINTY_ROLE
from MultiTaskSegLib.scene.heatmap import set_threshold, show_heatmap


class DisplayControl:
    """Applies opacity and threshold when they or the result change, and leaves the views alone otherwise."""

    def __init__(self) -> None:
        self._applied: tuple[Any, ...] = ()

    def apply(self, parameters: Any) -> None:
        """Show the heatmap of ``parameters.segmentation`` over its volume; None for a scene that is being closed."""
        segmentation = None if parameters is None else parameters.segmentation
        if segmentation is None:
            self._applied = ()
            return
        volume_node = segmentation.GetNodeReference(INPUT_ROLE)
        heatmap_node = segmentation.GetNodeReference(UNCERTAINTY_ROLE)
        if volume_node is None or heatmap_node is None:
            return
        opacity = parameters.opacity if parameters.showUncertainty else 0.0
        wanted = (segmentation, volume_node, heatmap_node, opacity, parameters.threshold)
        if wanted == self._applied:
            return
        self._applied = wanted
        set_threshold(heatmap_node, parameters.threshold)
        show_heatmap(volume_node, heatmap_node, opacity)
