"""A batch over volumes of the scene, image files, a folder, or the frames of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import slicer
import vtk

from MultiTaskSegLib.batch import Batch, BatchItem, BatchRow
from MultiTaskSegLib.image_folder import image_paths, output_folders
from MultiTaskSegLib.job import Job, JobRunner, shared_runner
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.scene.batch_table import add_batch_table
from MultiTaskSegLib.scene.result import SegmentationResult, add_result
from MultiTaskSegLib.scene.sequence import SequenceResult
from MultiTaskSegLib.scene.volume import image_from_node

AUTO = "auto"
TABLE_NAME = "MultiTaskSeg batch"

Images = str | Path | slicer.vtkMRMLSequenceNode | Sequence[slicer.vtkMRMLScalarVolumeNode | str | Path]
AddResult = Callable[[slicer.vtkMRMLScalarVolumeNode, JobResult], SegmentationResult]


@dataclass
class BatchResult:
    """What a batch leaves.

    Attributes:
        rows: one per image, in their order.
        table: the same as a table node of the scene.
        results: of the volumes of the scene that were segmented, by their ID.
        segmentations: sequence of a segmentation per frame, when the input was a sequence.
    """

    rows: list[BatchRow]
    table: slicer.vtkMRMLTableNode
    results: dict[str, SegmentationResult] = field(default_factory=dict)
    segmentations: slicer.vtkMRMLSequenceNode | None = None


@dataclass(frozen=True)
class BatchOptions:
    """What all images of a batch have in common.

    Attributes:
        task: a task's name or ``auto``.
        model: path of a model file; None for the released ones.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        output: folder for the results of image files; each gets a folder of its own in it.
        add: how the result of a volume gets into the scene.
    """

    task: str = AUTO
    model: str | Path | None = None
    device: str = AUTO
    output: str | Path | None = None
    add: AddResult = add_result


class SceneBatch:
    """A batch that is under way; closing the scene cancels it.

    Attributes:
        job: the batch, which is polled as a single job is.
    """

    def __init__(self, images: Images, options: BatchOptions | None = None, runner: JobRunner | None = None) -> None:
        """Nothing is started before the first ``job.poll()``.

        Args:
            images: volume nodes and paths in any mixture; one folder; or one sequence node, whose frames are meant.
            options: see `BatchOptions`.
            runner: whose worker to use; the one that all modules share by default.

        Raises:
            InputError: there is no image.
            UsageError: image files are given without a folder for their results.
        """
        self._options = BatchOptions() if options is None else options
        self._runner = shared_runner() if runner is None else runner
        self._scene = slicer.mrmlScene
        self._results: dict[str, SegmentationResult] = {}
        self._sequence: SequenceResult | None = None
        self.job = Batch(self._items(images))
        self._tag: int | None = self._scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, self._on_scene_close)

    def end(self, reason: str = "the batch was cancelled") -> None:
        """Cancel what still runs, and stop watching the scene. What is done stays."""
        self.job.cancel(reason)
        if self._tag is not None:
            self._scene.RemoveObserver(self._tag)
            self._tag = None

    def finish(self) -> BatchResult:
        """End the batch and put the table of what is done into the scene, also when it was cancelled."""
        self.end()
        table = add_batch_table(self._scene, self.job.rows, TABLE_NAME)
        segmentations = None if self._sequence is None else self._sequence.finish()
        return BatchResult(self.job.rows, table, self._results, segmentations)

    def _items(self, images: Images) -> list[BatchItem]:
        if isinstance(images, (str, Path)):
            return self._file_items(image_paths(images))
        if isinstance(images, slicer.vtkMRMLSequenceNode):
            return self._frame_items(images)
        if not images:
            raise InputError("there is no image to segment", remedy="Give volumes, image files, a folder or a sequence")
        files = iter(self._file_items([Path(image) for image in images if isinstance(image, (str, Path))]))
        return [next(files) if isinstance(image, (str, Path)) else self._volume_item(image) for image in images]

    def _volume_item(self, node: slicer.vtkMRMLScalarVolumeNode) -> BatchItem:
        name, identity = (node.GetName(), node.GetID()) if node is not None else ("", "")

        def start() -> Job:
            """Send the voxels as they are now."""
            _require_present(node)
            return self._segment(image_from_node(node))

        def keep(found: JobResult) -> None:
            """Put the result beside the volume, unless that has been removed meanwhile."""
            _require_present(node)
            self._results[identity] = self._options.add(node, found)

        return BatchItem(name, start, keep)

    def _frame_items(self, sequence_node: slicer.vtkMRMLSequenceNode) -> list[BatchItem]:
        if sequence_node.GetNumberOfDataNodes() == 0:
            raise InputError("the sequence is empty", file=sequence_node.GetName(), remedy="Choose another sequence")
        self._sequence = sequence = SequenceResult(sequence_node)

        def item(number: int) -> BatchItem:
            """The frame of that number."""
            return BatchItem(
                sequence.frame_name(number),
                lambda: self._segment(sequence.image(number)),
                lambda found: sequence.keep(number, found),
            )

        return [item(number) for number in range(sequence_node.GetNumberOfDataNodes())]

    def _file_items(self, paths: list[Path]) -> list[BatchItem]:
        if not paths:
            return []
        if self._options.output is None:
            raise UsageError("image files need a folder for their results", remedy="Give output=FOLDER")

        def item(path: Path, folder: Path) -> BatchItem:
            """One file, whose results the worker's parent has put in place by the time its job is done."""
            options = {"task": self._options.task, "model": self._options.model, "device": self._options.device}
            return BatchItem(path.name, lambda: self._runner.segment_file(path, folder, **options), lambda found: None)

        return [item(*pair) for pair in zip(paths, output_folders(paths, self._options.output), strict=True)]

    def _segment(self, image: object) -> Job:
        options = self._options
        return self._runner.segment(image, task=options.task, model=options.model, device=options.device)

    def _on_scene_close(self, _caller: vtk.vtkObject, _event: str) -> None:
        self.end("the batch was cancelled because the scene was closed")


def segment_batch(
    images: Images,
    options: BatchOptions | None = None,
    *,
    runner: JobRunner | None = None,
    progress: Callable[[float, str], object] | None = None,
    idle: Callable[[], object] | None = None,
) -> BatchResult:
    """Segment many images on one loaded model and wait for it; an image that fails gets a row with the reason.

    Args:
        images, options, runner: as in `SceneBatch`.
        progress: told the share of all work that is done and the current step, about 20 times a second.
        idle: called as often, ``slicer.app.processEvents`` in the application.

    Raises:
        InputError: there is no image.
        UsageError: image files are given without a folder for their results.
        Cancelled: the scene was closed.
    """
    batch = SceneBatch(images, options, runner)
    try:
        batch.job.wait(idle, progress)
    finally:
        batch.end()
    return batch.finish()


def _require_present(node: slicer.vtkMRMLNode | None) -> None:
    if node is None or node.GetScene() is None:
        raise InputError("the volume was removed", remedy="Load it again")
