"""What a finished job brought back from the worker. No torch here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.result_folder import write_checksums
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path, staged_files
from MultiTaskSegLib.runtime.ood.verdict import Verdict


@dataclass(frozen=True)
class JobResult:
    """What a finished job brought back.

    Attributes:
        report: what ``report.json`` holds; a check has ``image``, ``model``, ``ood`` and ``warnings``, others nothing.
        labels: uint8 ``(Z, Y, X)`` on the grid of the input, or None for a check.
        uncertainty: float32 ``(Z, Y, X)`` in [0, 1], or None for a check.
        legend: per label its ``value``, ``name``, ``display_name``, ``colour`` (0..255) and ``terminology``.
        tasks: per task of the model its ``name``, ``modality`` and ``anatomy``; filled by ``info``.
        spectra: per layer the image's spectrum and the nearest task's band, see `SpectrumBand`; filled by a check.
        foreign: float32 ``(Z, Y, X)`` on the grid of the input, 0 to 4, see `Predictor.locate`; None unless a check was
            asked for it.
        devices: per device its ``name``, ``description``, ``free_bytes`` and ``total_bytes`` (None where unknown), best
            first; filled by ``devices``.
        output: the folder with the files of a segmented file, or the file of a model that was made, else None.
        regions: bool ``(R, Z, Y, X)`` in the order of the legend, where segments may overlap; ``labels`` then shows
            later ones over earlier ones. None where they do not.
        models: what nnU-Net has left in a folder: per model ``configuration``, ``trainer``, ``plans``, ``place`` and
            ``folds``; filled by ``trained``.
        card: the model card; filled by ``card`` and ``import``.
        thumbnail: uint8 ``(Y, X, 3)``, a slice with the outlines of the structures; None unless it was asked for.
        thumbnail_failure: why it was asked for and is not there.
    """

    report: dict[str, Any]
    labels: NDArray[np.uint8] | None
    uncertainty: NDArray[np.float32] | None
    legend: list[dict[str, Any]]
    tasks: list[dict[str, str]]
    spectra: list[dict[str, Any]] = field(default_factory=list)
    foreign: NDArray[np.float32] | None = None
    devices: list[dict[str, Any]] = field(default_factory=list)
    output: Path | None = None
    regions: NDArray[np.bool_] | None = None
    models: list[dict[str, Any]] = field(default_factory=list)
    card: str = ""
    thumbnail: NDArray[np.uint8] | None = None
    thumbnail_failure: str = ""

    @property
    def verdict(self) -> Verdict | None:
        """The out-of-distribution verdict of a segmentation or a check; None where nothing could be checked."""
        if self.report["ood"] is None:
            return None
        return replace(Verdict.from_dict(self.report["ood"]), warnings=tuple(self.report.get("warnings", ())))


def result_of(
    event: dict[str, Any], destination: Callable[[], Path] | None = None, settle: Callable[[], object] = lambda: None
) -> JobResult:
    """Take in a result event.

    Args:
        event: of the worker.
        destination: gives the folder to which files that the worker wrote are moved then, all or none, with their
            checksums; of a model that it made, the file.
        settle: is called right before they come to be there; what it raises keeps them away.

    Raises:
        ResourceError: an array cannot be read, or a file cannot be written.
        MtsError: as ``destination``.
    """
    try:
        arrays = [
            np.load(event[name], allow_pickle=False) if name in event else None
            for name in ("labels", "uncertainty", "foreign", "regions")
        ]
    except (OSError, ValueError) as error:
        raise ResourceError(f"the result cannot be read ({error})", remedy="Start the run again") from error
    picture, failure = _picture_of(event)
    place = destination() if "files" in event and destination is not None else None
    if place is not None:
        with staged_files(place, settle) as stage:
            for file in Path(event["files"]).iterdir():
                shutil.move(file, stage / file.name)
            write_checksums(stage)
    if "model" in event and destination is not None:
        place = destination()
        with atomic_path(place, settle) as aside:
            shutil.copyfile(event["model"], aside)
    return JobResult(
        event.get("report", {}),
        arrays[0],
        arrays[1],
        event.get("legend", []),
        event.get("tasks", []),
        event.get("spectra", []),
        arrays[2],
        event.get("devices", []),
        place,
        arrays[3],
        event.get("models", []),
        event.get("card", ""),
        picture,
        failure,
    )


def _picture_of(event: dict[str, Any]) -> tuple[NDArray[np.uint8] | None, str]:
    """The picture, or why it is not there, which is no reason to lose the result."""
    if "thumbnail" not in event:
        return None, str(event.get("thumbnail_failure", ""))
    try:
        pixels = np.load(event["thumbnail"], allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        return None, f"{type(error).__name__}: {error}"
    return pixels, ""
