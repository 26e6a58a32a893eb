"""Checks of volumes and of image files on the shared worker, one at a time or many in a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import slicer

from MultiTaskSegLib import __version__
from MultiTaskSegLib.job import Job, shared_runner
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.attributes import write_provenance, write_verdict
from MultiTaskSegLib.scene.run import SceneRun
from MultiTaskSegLib.scene.volume import image_from_node
from OODCheckLib.check_batch import CheckBatch
from OODCheckLib.foreign_map import add_foreign_map, remove_foreign_map
from OODCheckLib.image_item import ImageItem
from OODCheckLib.spectrum_plot import keep_spectrum, most_different_band


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
    """Take in what a finished run brought back, see `keep_check`. Raises what the run failed with."""
    return keep_check(run.volume_node, run.result())


def keep_check(volume_node: slicer.vtkMRMLScalarVolumeNode, found: JobResult) -> Verdict:
    """Write the verdict onto a volume and return it; keep the spectrum that differs most, and the map
    of foreign places if there is one."""
    verdict = found.verdict
    write_provenance(volume_node, found.report, __version__)
    write_verdict(volume_node, verdict)
    band = most_different_band(found.spectra, verdict.explanation.blocks if verdict.explanation else ())
    keep_spectrum(volume_node, band, verdict)
    if found.foreign is None:
        remove_foreign_map(volume_node)
    else:
        add_foreign_map(volume_node, found.foreign)
    return verdict


def start_batch(items: Sequence[ImageItem], model: str | Path | None, device: str, with_map: bool) -> CheckBatch:
    """Start to check several images; volumes of the scene get their verdict as from `keep_check`, files are read by the
    worker.

    Raises:
        UsageError: another run is under way.
    """
    runner = shared_runner()
    if runner.is_busy:
        raise UsageError("another run is under way", remedy="Wait for it or cancel it first")

    def start(item: ImageItem) -> Job:
        """Start one check."""
        if item.path is not None:
            return runner.check_file(item.path, model=model, device=device)
        return runner.check(image_from_node(item.node), model=model, device=device, with_map=with_map)

    def keep(item: ImageItem, found: JobResult) -> Verdict:
        """The verdict, written onto the volume if there is one."""
        return found.verdict if item.node is None else keep_check(item.node, found)

    return CheckBatch(items, start, keep)
