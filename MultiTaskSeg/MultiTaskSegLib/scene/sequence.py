"""The frames of a 4-D sequence, and the segmentations of them as a sequence that is browsed together with it."""

from __future__ import annotations

from dataclasses import replace

import slicer

from MultiTaskSegLib import __version__
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.scene import attributes
from MultiTaskSegLib.scene.segmentation import add_segmentation
from MultiTaskSegLib.scene.volume import image_from_node

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"


class SequenceResult:
    """Takes a segmentation per frame; frames that fail are left out of the sequence.

    Args:
        sequence_node: of scalar volumes.
    """

    def __init__(self, sequence_node: slicer.vtkMRMLSequenceNode) -> None:
        self._frames = sequence_node
        self._scene = sequence_node.GetScene()
        self._segmentations: slicer.vtkMRMLSequenceNode | None = None

    def frame_name(self, number: int) -> str:
        """What to call a frame: the name of the sequence and the frame's index value."""
        index = f"{self._frames.GetIndexName()}={self._frames.GetNthIndexValue(number)}{self._frames.GetIndexUnit()}"
        return f"{self._frames.GetName()} {index}"

    def image(self, number: int) -> Volume:
        """The voxels of a frame in the sequence's own coordinates.

        Raises:
            InputError: as `image_from_node`.
        """
        self._require_present()
        frame = self._frames.GetNthDataNode(number)
        return replace(image_from_node(frame), name=self.frame_name(number))

    def keep(self, number: int, found: JobResult) -> None:
        """Add the segmentation of a frame.

        Raises:
            InputError: the sequence was removed meanwhile.
            ResourceError: the job brought no labels.
        """
        self._require_present()
        if found.labels is None:
            raise ResourceError("the worker sent no labels", remedy="Start the run again")
        # Nodes of a sequence live in a scene of their own: the segmentation is made beside a copy in the main one.
        frame = self._frames.GetNthDataNode(number)
        volume = self._scene.AddNewNodeByClass(VOLUME_CLASS, self.frame_name(number))
        volume.CopyOrientation(frame)
        volume.SetAndObserveImageData(frame.GetImageData())
        name = attributes.flagged_name(f"{volume.GetName()} segmentation", found.verdict)
        # The node that shows the frames in turn has a name of its own, so the segments have to carry the warning.
        legend = [
            {**entry, "display_name": attributes.flagged_name(str(entry["display_name"]), found.verdict)}
            for entry in found.legend
        ]
        node = add_segmentation(volume, found.labels, legend, name)
        attributes.write_provenance(node, found.report, __version__)
        attributes.write_verdict(node, found.verdict)
        self._sequence().SetDataNodeAtValue(node, self._frames.GetNthIndexValue(number))
        for extra in (node.GetDisplayNode(), node, volume):
            if extra is not None and extra.GetScene() is not None:
                self._scene.RemoveNode(extra)

    def finish(self) -> slicer.vtkMRMLSequenceNode | None:
        """Show the segmentations together with the frames; their sequence, or None where no frame was segmented."""
        if self._segmentations is None or self._frames.GetScene() is None:
            return self._segmentations
        logic = slicer.modules.sequences.logic()
        browser = logic.GetFirstBrowserNodeForSequenceNode(self._frames)
        if browser is None:
            browser = self._scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{self._frames.GetName()} browser")
            browser.SetAndObserveMasterSequenceNodeID(self._frames.GetID())
        browser.AddSynchronizedSequenceNode(self._segmentations)
        # So that the name of the node that shows the segmentations tells of which frame it is.
        browser.SetOverwriteProxyName(self._segmentations, True)
        logic.UpdateProxyNodesFromSequences(browser)
        self._align(browser.GetProxyNode(self._segmentations), browser.GetProxyNode(self._frames))
        return self._segmentations

    def _align(
        self, shown: slicer.vtkMRMLSegmentationNode | None, volume: slicer.vtkMRMLScalarVolumeNode | None
    ) -> None:
        """A transform moves the node that shows the frames, so it has to move the segmentation as well."""
        if shown is None or volume is None:
            return
        shown.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        if shown.GetDisplayNode() is None:
            shown.CreateDefaultDisplayNodes()

    def _sequence(self) -> slicer.vtkMRMLSequenceNode:
        if self._segmentations is None:
            name = self._scene.GenerateUniqueName(f"{self._frames.GetName()} segmentation")
            self._segmentations = self._scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
            self._segmentations.SetIndexName(self._frames.GetIndexName())
            self._segmentations.SetIndexUnit(self._frames.GetIndexUnit())
            self._segmentations.SetIndexType(self._frames.GetIndexType())
        return self._segmentations

    def _require_present(self) -> None:
        if self._frames.GetScene() is None:
            raise InputError("the sequence was removed", remedy="Load it again")
