"""A batch over volumes of the scene, image files, a folder, or the frames of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import slicer

from MultiTaskSegLib.batch import Batch, BatchItem, BatchRow
from MultiTaskSegLib.gallery.batch_files import write_batch_files
from MultiTaskSegLib.image_folder import image_paths, output_folders
from MultiTaskSegLib.job import Job, JobRunner, shared_runner
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.lease import Lease
from MultiTaskSegLib.result_folder import claim, free_folder, is_taken, is_untouched
from MultiTaskSegLib.runtime.errors import InputError, MtsError, ResourceError, UsageError
from MultiTaskSegLib.scene.batch.batch_run import BatchRun
from MultiTaskSegLib.scene.batch.sequence import SequenceResult
from MultiTaskSegLib.scene.channel_nodes import require_single
from MultiTaskSegLib.scene.earlier_result import KEEP, REPLACE, require_choice
from MultiTaskSegLib.scene.figure.measurement import measurements_of
from MultiTaskSegLib.scene.figure.result_figures import (
    FileState,
    figures_of_file,
    figures_of_result,
    file_state,
    with_figures,
)
from MultiTaskSegLib.scene.figure.segment_statistics import Figures, require_statistics
from MultiTaskSegLib.scene.image_record import ImageRecord
from MultiTaskSegLib.scene.node.presence import require_present
from MultiTaskSegLib.scene.result import RunNotes, SegmentationResult, add_result
from MultiTaskSegLib.scene.volume import image_from_node
from MultiTaskSegLib.scene.wish.wish import wish_of
from MultiTaskSegLib.task_list import known_tasks
from MultiTaskSegLib.typed_error import typed

AUTO = "auto"
TABLE_NAME = "MultiTaskSeg batch"

Images = str | Path | slicer.vtkMRMLSequenceNode | Sequence[slicer.vtkMRMLScalarVolumeNode | str | Path]


@dataclass
class BatchResult:
    """What a batch leaves.

    Attributes:
        rows: one per image, in their order.
        table: the same as a table node of the scene; None where the scene was closed.
        results: of the volumes of the scene that were segmented, by their ID.
        segmentations: sequence of a segmentation per frame, when the input was a sequence.
        page: the rows with their pictures as an HTML file, in the folder of the results and beside the table of
            the same name; None without such a folder.
        unwritten: why page and table could not be written.
    """

    rows: list[BatchRow]
    table: slicer.vtkMRMLTableNode | None
    results: dict[str, SegmentationResult] = field(default_factory=dict)
    segmentations: slicer.vtkMRMLSequenceNode | None = None
    page: Path | None = None
    unwritten: MtsError | None = None


@dataclass(frozen=True)
class BatchOptions:
    """What all images of a batch have in common.

    Attributes:
        task: a task's name or ``auto``.
        model: path of a model file; None for the released ones.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        output: folder for the results of image files; each gets a folder of its own in it, and all a table and a page.
        existing: ``keep`` or ``replace``, see `RunNotes`; results of files that are kept get the new ones beside them.
        with_uncertainty: whether volumes of the scene get their uncertainty as a volume, too.
        structures: names of those that are wanted; none for all.
        figures: columns of Segment Statistics, see `measurements`, that each structure of each image gets.
        thorough: whether further looks at changed copies of each image tell how sure its result is.
    """

    task: str = AUTO
    model: str | Path | None = None
    device: str = AUTO
    output: str | Path | None = None
    existing: str = KEEP
    with_uncertainty: bool = True
    structures: Sequence[str] = ()
    figures: Sequence[str] = ()
    thorough: bool = False

    @property
    def wish(self) -> dict[str, Any]:
        """What every run is asked for besides: a picture, structures where not all are wanted, further looks."""
        chosen = wish_of(structures=self.structures, thorough=self.thorough)
        return {"with_thumbnail": True, **({"wish": chosen} if chosen else {})}

    @property
    def notes(self) -> RunNotes:
        """What is noted on the results."""
        asked: dict[str, Any] = {"task": self.task, "model": str(self.model or ""), "device": self.device}
        asked |= self.wish.get("wish", {})
        return RunNotes(asked, self.existing, with_uncertainty=self.with_uncertainty)


class SceneBatch:
    """A batch that is under way; it holds the worker, and closing the scene cancels it."""

    def __init__(self, images: Images, options: BatchOptions | None = None, runner: JobRunner | None = None) -> None:
        """Nothing is started before the first ``job.poll()``.

        Args:
            images: volume nodes and paths in any mixture; one folder; or one sequence node, whose frames are meant.
            options: see `BatchOptions`.
            runner: whose worker to use; the one that all modules share by default.

        Raises:
            InputError: there is no image.
            UsageError: another run is under way, image files are given without a folder for their results, there is no
                such choice for earlier results or no such figure, or the task takes several volumes for one image.
            ResourceError: figures are wanted, and this Slicer has no module Segment Statistics.
        """
        self._options = BatchOptions() if options is None else options
        require_choice(self._options.existing)
        if measurements_of(self._options.figures):
            require_statistics()
        require_single(known_tasks(self._options.model or None), self._options.task)
        self._runner = shared_runner() if runner is None else runner
        self._results: dict[str, SegmentationResult] = {}
        self._sequence: SequenceResult | None = None
        self._run = BatchRun(self._runner, lambda lease: self._items(images, lease))

    @property
    def job(self) -> Batch:
        """The batch, which is polled as a single job is."""
        return self._run.job

    def end(self, reason: str = "the batch was cancelled") -> None:
        """Cancel what still runs, and stop watching the scene. What is done stays."""
        self._run.end(reason)

    def finish(self) -> BatchResult:
        """End the batch and put the table of what is done into the scene, and table and page into the folder of the
        results, also when it was cancelled."""
        self.end()
        table = segmentations = None
        try:
            table = self._run.add_table(TABLE_NAME)
            segmentations = None if self._sequence is None or table is None else self._sequence.finish()
        except Exception as error:  # whatever it is: the results that are there must not be lost with it
            self.job.error = self.job.error or typed(error)
        page, unwritten = self._write_page()
        self.job.error = self.job.error or unwritten
        return BatchResult(self._run.rows, table, self._results, segmentations, page, unwritten)

    def _write_page(self) -> tuple[Path | None, MtsError | None]:
        """Where the page is, or what went wrong."""
        if self._options.output is None or not self._run.rows:
            return None, None
        try:
            return write_batch_files(self._run.rows, self._options.output), None
        except Exception as error:  # whatever it is: the results that are there must not be lost with it
            return None, typed(error)

    def _items(self, images: Images, lease: Lease) -> list[BatchItem]:
        if isinstance(images, (str, Path)):
            return self._file_items(image_paths(images), lease)
        if isinstance(images, slicer.vtkMRMLSequenceNode):
            return self._frame_items(images, lease)
        if not images:
            raise InputError("there is no image to segment", remedy="Give volumes, image files, a folder or a sequence")
        files = iter(self._file_items([Path(image) for image in images if isinstance(image, (str, Path))], lease))
        return [next(files) if isinstance(image, (str, Path)) else self._volume_item(image, lease) for image in images]

    def _volume_item(self, node: slicer.vtkMRMLScalarVolumeNode, lease: Lease) -> BatchItem:
        name, identity = (node.GetName(), node.GetID() or "") if node is not None else ("", "")
        noted = [self._options.notes]

        def start() -> Job:
            """Send the voxels as they are now."""
            require_present(node)
            image = image_from_node(node)
            noted[0] = replace(noted[0], record=ImageRecord.of(node))
            return self._segment(image, lease)

        def keep(found: JobResult) -> Mapping[str, Any]:
            """Put the result beside the volume, unless that has been removed or changed meanwhile."""
            require_present(node)
            self._results[identity] = result = add_result(node, found, noted[0])
            return self._measured(result.report, found, lambda asked: figures_of_result(result.segmentation, asked))

        return BatchItem(name, start, keep, volume_id=identity)

    def _frame_items(self, sequence_node: slicer.vtkMRMLSequenceNode, lease: Lease) -> list[BatchItem]:
        if sequence_node.GetNumberOfDataNodes() == 0:
            raise InputError("the sequence is empty", file=sequence_node.GetName(), remedy="Choose another sequence")
        self._sequence = sequence = SequenceResult(sequence_node, self._options.notes, self._options.figures)

        def item(number: int) -> BatchItem:
            """The frame of that number."""
            return BatchItem(
                sequence.frame_name(number),
                lambda: self._segment(sequence.image(number), lease),
                lambda found: sequence.keep(number, found),
            )

        return [item(number) for number in range(sequence_node.GetNumberOfDataNodes())]

    def _file_items(self, paths: list[Path], lease: Lease) -> list[BatchItem]:
        if not paths:
            return []
        if self._options.output is None:
            raise UsageError("image files need a folder for their results", remedy="Give output=FOLDER")
        folders = output_folders(paths, self._options.output)
        claimed = {claim(folder) for folder in folders}
        return [self._file_item(path, folder, claimed, lease) for path, folder in zip(paths, folders, strict=True)]

    def _file_item(self, path: Path, folder: Path, claimed: set[str], lease: Lease) -> BatchItem:
        """One file, whose results the worker's parent has put in place by the time its job is done."""
        notes: list[str] = []
        state: list[FileState] = []

        def place() -> Path:
            """Look where the result may go only when it is written: until then somebody may work in the folder."""
            settled, notes[:] = _settled(folder, self._options.existing, claimed)
            return settled.resolve()

        def start() -> Job:
            """Have the worker read the file."""
            state[:] = file_state(path) if self._options.figures else []
            options = {"task": self._options.task, "model": self._options.model, "device": self._options.device}
            return self._runner.segment_file(path, place, lease=lease, **options, **self._options.wish)

        def keep(found: JobResult) -> Mapping[str, Any]:
            """Say where the results are, where that is not where one would look."""
            report = {**found.report, "warnings": [*found.report.get("warnings", []), *notes]}
            return self._measured(report, found, lambda asked: figures_of_file(path, found, asked, state))

        return BatchItem(path.name, start, keep, str(path))

    def _measured(
        self, report: Mapping[str, Any], found: JobResult, measure: Callable[[Sequence[str]], Figures]
    ) -> Mapping[str, Any]:
        """The report with the figures that the batch was asked for."""
        asked = self._options.figures
        return with_figures(report, found.legend, asked, lambda: measure(asked))

    def _segment(self, image: object, lease: Lease) -> Job:
        options = self._options
        asked = {"task": options.task, "model": options.model, "device": options.device}
        return self._runner.segment(image, lease=lease, **asked, **options.wish)


def _settled(folder: Path, existing: str, claimed: set[str]) -> tuple[Path, list[str]]:
    """Where a result goes, and what to say about it: nothing that was there is lost.

    Raises:
        ResourceError: the earlier result cannot be read.
    """
    try:
        is_free = not is_taken(folder) or (existing == REPLACE and is_untouched(folder))
    except OSError as error:
        raise ResourceError(
            f"the earlier result cannot be read ({error.strerror})", file=folder, remedy="Give another folder"
        ) from error
    if is_free:
        return folder, []
    place = free_folder(folder, claimed)
    claimed.add(claim(place))
    why = "there was a result already" if existing == KEEP else "the earlier result was edited"
    return place, [f"{why}, and was kept: this one is in {place.name}"]


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
        UsageError: another run is under way, or image files are given without a folder for their results.
        Cancelled: the scene was closed.
    """
    batch = SceneBatch(images, options, runner)
    try:
        batch.job.wait(idle, progress)
    finally:
        batch.end()
    return batch.finish()
