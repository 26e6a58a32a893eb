"""What the panel does with new results: one is shown where the user still looks at its image, else it waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.panel.summary import notice_text
from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE
from MultiTaskSegLib.scene.result import SegmentationResult
from MultiTaskSegLib.scene.run import SceneRun
from MultiTaskSegLib.scene.slice_layers import hide, shown_volumes, shows_one_volume


class Onlooker:
    """Remembers which images were in the views when a run began."""

    def __init__(self) -> None:
        self._seen: frozenset[str] = frozenset()

    def look(self) -> None:
        """A run begins now."""
        self._seen = shown_volumes(slicer.mrmlScene)

    def is_watched(self, volume_node: slicer.vtkMRMLScalarVolumeNode) -> bool:
        """Whether an image is in a view, or the views still have what they had when the run began."""
        seen = shown_volumes(slicer.mrmlScene)
        return volume_node.GetID() in seen or seen == self._seen

    def take_in(
        self, run: SceneRun, finish: Callable[[SceneRun], SegmentationResult], parameters: Any, is_open: bool
    ) -> tuple[str, str]:
        """Add the result of a run that is over, by ``finish``, and turn to it; what went wrong, and a notice.

        While the panel is not open (``is_open``) only its selection counts: it changes views when it is returned to.
        """
        try:
            with slicer.util.tryWithErrorDisplay(_("The result could not be shown."), show=run.job.error is None):
                segmentation = finish(run).segmentation
        except MtsError as error:
            return str(error), ""
        return "", self._turn_to(parameters, segmentation, run.volume_node, is_open)

    def take_in_batch(self, results: Mapping[str, SegmentationResult], parameters: Any, is_open: bool) -> None:
        """Turn to the result of the selected volume, if the batch has one; none is drawn over another image."""
        for result in results.values():
            is_there = result.segmentation.GetScene() is not None  # else its scene was closed
            volume_node = result.segmentation.GetNodeReference(INPUT_ROLE) if is_there else None
            if volume_node is not None:
                self._turn_to(parameters, result.segmentation, volume_node, is_open)

    def _turn_to(
        self, parameters: Any, segmentation: Any, volume_node: slicer.vtkMRMLScalarVolumeNode, is_open: bool
    ) -> str:
        """Select a result; or, where the user has turned to another image, say as rich text where it is.

        Views that show another image stay as they are then, and the result is not drawn over it.
        """
        if parameters is None:
            return ""
        if (self.is_watched(volume_node) or not is_open) and parameters.inputVolume is volume_node:
            parameters.segmentation = segmentation
            return ""
        scene = slicer.mrmlScene
        if shows_one_volume(scene) and volume_node.GetID() not in shown_volumes(scene):
            hide(segmentation)
        words = _("{name} is ready. You have turned to another image: choose it as Result to see it.")
        return notice_text(words.format(name=segmentation.GetName()))
