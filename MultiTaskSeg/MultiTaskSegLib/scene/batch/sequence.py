"""The frames of a 4-D sequence, and the segmentations of them as a sequence that is browsed together with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import slicer

from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.image.volume import LPS_TO_RAS, Volume
from MultiTaskSegLib.scene import attributes
from MultiTaskSegLib.scene.batch.earlier_sequence import earlier_sequences, remove_sequence, replaceable
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE, REPLACE
from MultiTaskSegLib.scene.figure.measurement import measurements_of
from MultiTaskSegLib.scene.figure.result_figures import with_figures
from MultiTaskSegLib.scene.figure.segment_statistics import Figures, measured
from MultiTaskSegLib.scene.handwork import seal_name, seal_segments
from MultiTaskSegLib.scene.image_record import ImageRecord, voxel_fingerprint
from MultiTaskSegLib.scene.node.added_nodes import all_or_nothing
from MultiTaskSegLib.scene.result import RunNotes
from MultiTaskSegLib.scene.result_record import write_record
from MultiTaskSegLib.scene.segmentation import add_segmentation
from MultiTaskSegLib.scene.volume import image_from_node, picture_ending, to_world_of
from MultiTaskSegLib.scene.volume_sequence import frame_title
from MultiTaskSegLib.task_list import short_name

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"


class SequenceResult:
    """Takes a segmentation per frame; frames that fail are left out of the sequence.

    Args:
        sequence_node: of scalar volumes.
        notes: what was noted when the batch started; its record is not used, each frame has one of its own.
        figures: columns of Segment Statistics that each structure of each frame gets.
    """

    def __init__(
        self, sequence_node: slicer.vtkMRMLSequenceNode, notes: RunNotes | None = None, figures: Sequence[str] = ()
    ) -> None:
        self._frames, self._figures = sequence_node, figures
        self._scene = sequence_node.GetScene()
        self._notes = notes or RunNotes()
        self._segmentations: slicer.vtkMRMLSequenceNode | None = None
        self._records: dict[int, ImageRecord] = {}

    def frame_name(self, number: int) -> str:
        """What to call a frame: the name of the sequence and the frame's index value."""
        return f"{self._frames.GetName()} {frame_title(self._frames, number)}"

    def image(self, number: int) -> Volume:
        """The voxels of a frame, in the world where the node lies that shows the frames.

        Raises:
            InputError: as `image_from_node`.
        """
        self._require_present()
        frame = self._frames.GetNthDataNode(number)
        image = image_from_node(frame)
        ijk_to_ras = self._to_world() @ LPS_TO_RAS @ image.ijk_to_lps
        world = tuple(float(value) for value in ijk_to_ras.ravel())
        self._records[number] = ImageRecord(voxel_fingerprint(frame), world, frame_title(self._frames, number))
        return replace(image, ijk_to_lps=LPS_TO_RAS @ ijk_to_ras, name=self.frame_name(number))

    def keep(self, number: int, found: JobResult) -> Mapping[str, Any]:
        """Add the segmentation of a frame; its report, with the figures.

        Raises:
            InputError: the sequence was removed, or the frame was changed meanwhile.
            ResourceError: the job brought no labels.
        """
        self._require_present()
        if found.labels is None:
            raise ResourceError("the worker sent no labels", remedy="Start the run again")
        frame, record = self._frames.GetNthDataNode(number), self._records[number]
        if voxel_fingerprint(frame) != record.voxels:
            raise InputError("the frame was changed during the run: nothing was added", remedy="Start the run again")
        with all_or_nothing(self._scene):
            return self._add(number, found, record)

    def finish(self) -> slicer.vtkMRMLSequenceNode | None:
        """Show the segmentations together with the frames; their sequence, or None where no frame was segmented."""
        if self._segmentations is None or self._frames.GetScene() is None:
            return self._segmentations
        if self._notes.existing == REPLACE:
            for sequence in earlier_sequences(self._frames, self._segmentations):
                if replaceable(sequence, self._segmentations, self._frames):
                    remove_sequence(sequence)
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

    def _add(self, number: int, found: JobResult, record: ImageRecord) -> Mapping[str, Any]:
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
        node = add_segmentation(volume, found.labels, legend, name, found.regions)
        write_record(node, record, found.report, self._notes.parameters)
        seal_segments(node, found.labels, found.regions)
        measure = lambda: self._measured(node, volume, has_size=not picture_ending(frame))  # noqa: E731
        report = with_figures(found.report, found.legend, self._figures, measure)
        sequence = self._sequence(found.report)
        sequence.SetDataNodeAtValue(node, self._frames.GetNthIndexValue(number))
        for extra in (node.GetDisplayNode(), node, volume):
            if extra is not None and extra.GetScene() is not None:
                self._scene.RemoveNode(extra)
        return report

    def _measured(
        self, node: slicer.vtkMRMLSegmentationNode, volume: slicer.vtkMRMLScalarVolumeNode, *, has_size: bool
    ) -> Figures:
        """Where the frames are shown: a transform may stretch them."""
        shown = self._shown_frame()
        place = None if shown is None else shown.GetTransformNodeID()
        try:
            for one in (node, volume):
                one.SetAndObserveTransformNodeID(place)
            return measured(node, volume, measurements_of(self._figures), has_size=has_size)
        finally:
            node.SetAndObserveTransformNodeID(None)

    def _to_world(self) -> np.ndarray:
        """Through the transforms of the node that shows the frames; a sequence has none of its own."""
        shown = self._shown_frame()
        return np.eye(4) if shown is None else to_world_of(shown)

    def _shown_frame(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForSequenceNode(self._frames)
        return None if browser is None else browser.GetProxyNode(self._frames)

    def _align(
        self, shown: slicer.vtkMRMLSegmentationNode | None, volume: slicer.vtkMRMLScalarVolumeNode | None
    ) -> None:
        """A transform moves the node that shows the frames, so it has to move the segmentation as well."""
        if shown is None or volume is None:
            return
        shown.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        if shown.GetDisplayNode() is None:
            shown.CreateDefaultDisplayNodes()

    def _sequence(self, report: Mapping[str, Any]) -> slicer.vtkMRMLSequenceNode:
        if self._segmentations is None:
            task = str(report.get("task"))
            name = self._scene.GenerateUniqueName(f"{self._frames.GetName()} segmentation ({short_name(task)})")
            self._segmentations = self._scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
            self._segmentations.SetIndexName(self._frames.GetIndexName())
            self._segmentations.SetIndexUnit(self._frames.GetIndexUnit())
            self._segmentations.SetIndexType(self._frames.GetIndexType())
            self._segmentations.SetNodeReferenceID(INPUT_ROLE, self._frames.GetID())
            attributes.write(self._segmentations, {"Task": task})
            seal_name(self._segmentations)
        return self._segmentations

    def _require_present(self) -> None:
        if self._frames.GetScene() is None:
            raise InputError("the sequence was removed", remedy="Load it again")
