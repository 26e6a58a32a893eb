"""Brings what the panel shows into the slice views: the volume, its result, and the heatmap as the controls say."""

from __future__ import annotations

from typing import Any

import slicer

from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE, UNCERTAINTY_ROLE
from MultiTaskSegLib.scene.heatmap import set_threshold
from MultiTaskSegLib.scene.slice_layers import hide_uncertainty_but, show_only, show_overlay, show_volume


class DisplayControl:
    """Acts on the views when the user chooses something, and leaves them alone otherwise."""

    def __init__(self) -> None:
        self._applied: tuple[Any, ...] = ()
        self._subject: tuple[Any, ...] = ()
        self._is_new_scene = True

    def leave_alone(self) -> None:
        """Another scene is there: its views are as they were saved, until something is chosen."""
        self._is_new_scene = True

    def follow(self, parameters: Any, is_open: bool) -> None:
        """Act on what the parameters say now, if the panel is open; what a scene brings with it is taken for shown."""
        if self._is_new_scene or slicer.mrmlScene.IsBatchProcessing():
            self._is_new_scene = False
            self._subject, self._applied = _subject(parameters), _controls(parameters)
        elif is_open:
            self.apply(parameters)

    def apply(self, parameters: Any) -> None:
        """Show the result of ``parameters``, else their volume; only the heatmap where that alone has changed.

        None for a scene that is being closed.
        """
        subject, controls = _subject(parameters), _controls(parameters)
        is_other, is_changed = subject != self._subject, controls != self._applied
        self._subject, self._applied = subject, controls
        volume_node, segmentation, heatmap_node = subject
        if volume_node is None or not (is_other or is_changed):
            return
        show_volume(volume_node)
        if is_other:
            show_only(segmentation, slicer.mrmlScene)
            hide_uncertainty_but(volume_node, heatmap_node)
        if heatmap_node is not None:
            opacity, threshold = controls
            set_threshold(heatmap_node, threshold)
            show_overlay(volume_node, heatmap_node, opacity)


def _subject(parameters: Any) -> tuple[Any, ...]:
    """Volume, segmentation and heatmap that are to be seen, or None for each."""
    if parameters is None:
        return (None, None, None)
    segmentation = parameters.segmentation
    if segmentation is None:
        return (parameters.inputVolume, None, None)
    volume_node = segmentation.GetNodeReference(INPUT_ROLE)
    return (volume_node, segmentation, segmentation.GetNodeReference(UNCERTAINTY_ROLE))


def _controls(parameters: Any) -> tuple[float, float]:
    """Opacity and threshold of the heatmap."""
    if parameters is None:
        return (0.0, 0.0)
    return (parameters.opacity if parameters.showUncertainty else 0.0, parameters.threshold)
