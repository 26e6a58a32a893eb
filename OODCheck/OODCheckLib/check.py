"""Checks of volumes and of image files on the shared worker, one at a time or many in a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import slicer

from MultiTaskSegLib import __version__
from MultiTaskSegLib.job import Job, JobResult, shared_runner
from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.verdict import Verdict
from MultiTaskSegLib.scene.attributes import write_provenance, write_verdict
from MultiTaskSegLib.scene.run import SceneRun
from MultiTaskSegLib.scene.volume import image_from_node
from OODCheckLib.check_batch import CheckBatch
from OODCheckLib.foreign_map import add_foreign_map, remove_foreign_map
from OODCheckLib.image_item import ImageItem
from OODCheckLib.spectrum_plot import add_spectrum_chart, most_different_band


class FileRun:
    """A job for an image that is not in the scene."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def result(self) -> JobResult:
        """What the finished job brought back; raises what it failed with."""
        return self.job.result()

    def end(self, reason: str = "the run was cancelled") -> None:
        """Cancel the job if it still runs."""
        self.job.cancel(reason)


def start_check(
    volume_node: slicer.vtkMRMLScalarVolumeNode, model: str | Path | None, device: str, with_map: bool
) -> SceneRun:
    """Start to check a volume.

    Raises:
        InputError: the volume cannot be used (label map, several values per voxel, non-linear transform ...).
        UsageError: another run is under way.
        ResourceError: the worker cannot be started.
    """
    job = shared_runner().check(image_from_node(volume_node), model=model, device=device, with_map=with_map)
    return SceneRun(volume_node, job)


def finish_check(run: SceneRun) -> Verdict:
    """Write the verdict of a finished run onto its volume and return it; add a plot of the layer whose spectrum
    differs most, and the map of foreign places if there is one. Raises what the run failed with."""
    found = run.result()
    verdict = found.verdict
    write_provenance(run.volume_node, found.report, __version__)
    write_verdict(run.volume_node, verdict)
    band = most_different_band(found.spectra, verdict.explanation.blocks if verdict.explanation else ())
    if band is not None:
        add_spectrum_chart(run.volume_node, band, verdict.nearest_task)
    if found.foreign is None:
        remove_foreign_map(run.volume_node)
    else:
        add_foreign_map(run.volume_node, found.foreign)
    return verdict


def start_file_check(path: Path, model: str | Path | None, device: str) -> FileRun:
    """Read an image and start to check it.

    Raises:
        InputError: the file cannot be read.
        ResourceError: the worker cannot be started.
    """
    from MultiTaskSegLib.runtime.image_file import read_image

    return FileRun(shared_runner().check(read_image(path), model=model, device=device))


def start_batch(items: Sequence[ImageItem], model: str | Path | None, device: str, with_map: bool) -> CheckBatch:
    """Start to check several images; volumes of the scene get their verdict as from `finish_check`.

    Raises:
        UsageError: another run is under way.
    """
    if shared_runner().is_busy:
        raise UsageError("another run is under way", remedy="Wait for it or cancel it first")

    def start(item: ImageItem) -> SceneRun | FileRun:
        """Start one check."""
        if item.node is not None:
            return start_check(item.node, model, device, with_map)
        assert item.path is not None
        return start_file_check(item.path, model, device)

    def finish(run: SceneRun | FileRun) -> Verdict:
        """The verdict of a finished check."""
        return finish_check(run) if isinstance(run, SceneRun) else run.result().verdict

    return CheckBatch(items, start, finish)
