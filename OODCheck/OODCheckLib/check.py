"""Checks of volumes and of image files on the shared worker, one at a time or many in a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import slicer

from MultiTaskSegLib.installation.missing_package import require_installed
from MultiTaskSegLib.job import Job, shared_runner
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.lease import Lease
from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.channel_nodes import channel_nodes, require_single
from MultiTaskSegLib.scene.image_record import ImageRecord
from MultiTaskSegLib.scene.node.added_nodes import all_or_nothing
from MultiTaskSegLib.scene.node.presence import require_present
from MultiTaskSegLib.scene.result import RunNotes
from MultiTaskSegLib.scene.result_record import write_record
from MultiTaskSegLib.scene.run import SceneRun
from MultiTaskSegLib.scene.volume import image_from_node
from MultiTaskSegLib.task_list import known_tasks
from MultiTaskSegLib.typed_error import typed_errors
from OODCheckLib.check_batch import CheckBatch
from OODCheckLib.foreign_map import add_foreign_map, remove_foreign_map
from OODCheckLib.image_item import ImageItem
from OODCheckLib.spectrum_plot import keep_spectrum, most_different_band


@typed_errors()
def start_check(
    volume_node: slicer.vtkMRMLScalarVolumeNode, model: str | Path | None, device: str, with_map: bool
) -> SceneRun:
    """Start to check a volume.

    Raises:
        InputError: the volume cannot be used (label map, several values per voxel, non-linear transform ...).
        UsageError: another run is under way.
        ResourceError: packages are missing, or the worker cannot be started.
    """
    require_installed()
    channel_nodes(volume_node, known_tasks(model or None))
    image = image_from_node(volume_node)
    require_present(volume_node)
    notes = _notes(volume_node, model, device)
    return SceneRun(volume_node, shared_runner().check(image, model=model, device=device, with_map=with_map), notes)


@typed_errors()
def finish_check(run: SceneRun) -> Verdict:
    """Take in what a finished run brought back, see `keep_check`.

    Raises:
        InputError: the volume was removed after the run had ended, or as `keep_check`.
        MtsError: what the run failed with.
    """
    found = run.result()
    require_present(run.volume_node)
    return keep_check(run.volume_node, found, run.notes)


def keep_check(volume_node: slicer.vtkMRMLScalarVolumeNode, found: JobResult, notes: RunNotes | None = None) -> Verdict:
    """Write the verdict onto a volume and return it, with the spectrum of the layer that differs most and the map of
    foreign places if there is one.

    Args:
        volume_node: the volume that was checked.
        found: what the worker sent.
        notes: what was noted when the check started.

    Raises:
        InputError: the volume is not what it was when the check started.
        ModelError: the model has no reference images.
    """
    notes = notes or RunNotes()
    record = notes.record or ImageRecord.of(volume_node)
    record.require_unchanged(volume_node)
    verdict = found.verdict
    if verdict is None:
        raise ModelError(
            "the model has no reference images, so that nothing was checked", remedy="Choose another model"
        )
    with all_or_nothing(volume_node.GetScene()):
        if found.foreign is not None:
            add_foreign_map(volume_node, found.foreign)
    if found.foreign is None:
        remove_foreign_map(volume_node)
    write_record(volume_node, record, found.report, notes.parameters)
    band = most_different_band(found.spectra, verdict.explanation.blocks if verdict.explanation else ())
    keep_spectrum(volume_node, band, verdict)
    return verdict


@typed_errors()
def start_batch(items: Sequence[ImageItem], model: str | Path | None, device: str, with_map: bool) -> CheckBatch:
    """Start to check several images; volumes of the scene get their verdict as from `keep_check`, files are read by the
    worker.

    Raises:
        UsageError: another run is under way.
        ResourceError: packages are missing.
    """
    require_installed()
    require_single(known_tasks(model or None))
    runner = shared_runner()

    def start(item: ImageItem, lease: Lease) -> tuple[Job, RunNotes | None]:
        """Start one check."""
        if item.path is not None:
            return runner.check_file(item.path, model=model, device=device, lease=lease), None
        image = image_from_node(item.node)
        notes = _notes(item.node, model, device)
        return runner.check(image, model=model, device=device, with_map=with_map, lease=lease), notes

    def keep(item: ImageItem, notes: RunNotes | None, found: JobResult) -> None:
        """Write the verdict onto the volume, if there is one."""
        if item.node is not None:
            keep_check(item.node, found, notes)

    return CheckBatch(items, runner, start, keep)


def _notes(volume_node: slicer.vtkMRMLScalarVolumeNode, model: str | Path | None, device: str) -> RunNotes:
    return RunNotes({"model": str(model or ""), "device": device}, record=ImageRecord.of(volume_node))
