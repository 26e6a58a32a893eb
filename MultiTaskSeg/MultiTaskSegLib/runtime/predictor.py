"""Segment and check images with a model: the one door for command line, worker and trainer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.cell_reference import on_image_grid
from MultiTaskSegLib.runtime.errors import InputError, ModelError, ResourceError, UsageError
from MultiTaskSegLib.runtime.labelling import label_image
from MultiTaskSegLib.runtime.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.model_file import Model, load_model
from MultiTaskSegLib.runtime.network_pass import PassResult, run_pass
from MultiTaskSegLib.runtime.profile import MAX_UPSAMPLING, Prepared, Profile, prepare
from MultiTaskSegLib.runtime.segmentation import Segmentation
from MultiTaskSegLib.runtime.signature import Observed
from MultiTaskSegLib.runtime.verdict import Verdict
from MultiTaskSegLib.runtime.volume import Volume

Progress = Callable[[float, str], None]

AUTO = "auto"
# Profiles whose voxel size fits about as well as the best one (within this much in log units) are all tried.
PROFILE_TOLERANCE = 0.35


@dataclass(frozen=True)
class _Attempt:
    """One profile tried on an image."""

    tasks: tuple[TaskInfo, ...]
    prepared: Prepared
    result: PassResult
    verdict: Verdict


class Predictor:
    """A loaded model on a device.

    Args:
        model: from `load_model`.
        device: ``auto`` (a CUDA card when there is one), ``cpu`` or ``cuda``.

    Raises:
        UsageError: the device name is unknown.
        ResourceError: the device is not there.
    """

    def __init__(self, model: Model, device: str = AUTO) -> None:
        self.model = model
        self.device = _device(device)
        self.network = model.network.to(self.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    @classmethod
    def load(cls, path: str | Path, device: str = AUTO) -> Predictor:
        """Load a model file.

        Raises:
            ModelError: it is damaged or does not fit.
        """
        return cls(load_model(path), device)

    @property
    def manifest(self) -> Manifest:
        """The model's description."""
        return self.model.manifest

    def segment(self, volume: Volume, task: str = AUTO, progress: Progress | None = None) -> Segmentation:
        """Segment an image on its own grid, with uncertainty and the out-of-distribution verdict.

        Args:
            volume: the image.
            task: a task's name, or ``auto``: the spectral signature tells whose training images are nearest.
            progress: called with the share done and the step's name.

        Raises:
            ModelError: the model was pre-trained without labels.
            InputError: the image is constant, or 2-D where the model is 3-D or the other way round.
            UsageError: there is no such task.
            ResourceError: memory runs out.
        """
        self.require_labels()
        report = progress or _ignore
        started_s = time.perf_counter()
        attempt, verdict = self._recognise(volume, task, keep=True, progress=report)
        network_s = time.perf_counter()
        report(0.85, "labels")
        chosen = self._task(verdict.nearest_task if task == AUTO else task)
        labelling = label_image(attempt.result.probabilities[chosen.name], chosen, attempt.prepared)
        ended_s = time.perf_counter()
        report(1.0, "done")
        found = bool((labelling.labels > 0).any())
        return Segmentation(
            volume,
            labelling.labels,
            labelling.uncertainty,
            labelling.confidence,
            chosen,
            verdict,
            self.manifest.name,
            self.model.digest,
            str(self.device),
            {"network_s": network_s - started_s, "labels_s": ended_s - network_s, "total_s": ended_s - started_s},
            volume.warnings + _warnings(volume, chosen, verdict, found),
            labelling.predicted_dice,
        )

    def require_labels(self) -> None:
        """Refuse a model that segments nothing.

        Raises:
            ModelError: it was pre-trained without labels.
        """
        if not self.manifest.has_labels:
            raise ModelError(
                f"the model {self.manifest.name} was pre-trained without labels and segments nothing",
                remedy="Train it on with 'python -m trainer finetune'",
            )

    def check(self, volume: Volume, progress: Progress | None = None) -> Verdict:
        """The verdict alone; the same as that of `segment` with task ``auto``.

        Raises:
            InputError: as `segment`.
            ResourceError: memory runs out.
        """
        return self._recognise(volume, AUTO, keep=False, progress=progress or _ignore)[1]

    def locate(self, volume: Volume, progress: Progress | None = None) -> tuple[Verdict, NDArray[np.float32]]:
        """The verdict of `check`, and where the image is foreign.

        Returns:
            The verdict, and float32 ``(Z, Y, X)`` on the volume's own grid: -log10 of the share of cells of known
            images that look at least as foreign to the nearest task, 0 (ordinary) to 4 (one in ten thousand, or rarer).

        Raises:
            ModelError: the model has no memory of cells.
            InputError: as `segment`.
            ResourceError: memory runs out.
        """
        if not self.model.memories:
            raise ModelError(
                f"the model {self.manifest.name} cannot tell where an image is foreign",
                remedy="Fit its reference again with 'python -m trainer reference'",
            )
        attempt, verdict = self._recognise(volume, AUTO, keep=False, progress=progress or _ignore)
        memory = self.model.memories[self.model.reference.task_names.index(verdict.nearest_task)]
        cell = cell_size(self.manifest.architecture)
        return verdict, on_image_grid(memory.rarity(image_cells(attempt.prepared.voxels, cell)), cell, attempt.prepared)

    def _recognise(self, volume: Volume, task: str, keep: bool, progress: Progress) -> tuple[_Attempt, Verdict]:
        """Try the profiles that fit and keep the one with the nearest known images."""
        self._require_dimension(volume)
        profiles = [self._task(task).profile] if task != AUTO else self.candidate_profiles(volume)
        attempts = [
            self._attempt(volume, profile, keep, _part(progress, number, len(profiles)))
            for number, profile in enumerate(profiles)
        ]
        best = min(attempts, key=lambda attempt: attempt.verdict.score)
        return best, _merged_verdict(best, attempts)

    def _attempt(self, volume: Volume, profile: Profile, keep: bool, progress: Progress) -> _Attempt:
        progress(0.0, "preparing")
        prepared = prepare(volume, profile)
        tasks = tuple(t for t in self.manifest.tasks if t.profile == profile)
        spec = self.model.reference.spec
        result = run_pass(
            self.network,
            prepared.voxels,
            tasks if keep else (),
            spec.layers,
            spec.floor,
            device=self.device,
            progress=lambda share: progress(0.05 + 0.95 * share, "network"),
        )
        # Only tasks of this profile count: the others' images were prepared differently.
        observed: Observed = {
            **result.spectra,
            **spec.image_part(prepared.voxels, self.manifest.architecture.is_planar),
        }
        verdict = self.model.reference.judge(observed, among=[t.name for t in tasks])
        return _Attempt(tasks, prepared, result, verdict)

    def candidate_profiles(self, volume: Volume) -> list[Profile]:
        """Profiles that suit the image's scale and voxel size; with task ``auto`` all of them are tried."""
        profiles = list(dict.fromkeys(task.profile for task in self.manifest.tasks))
        suitable = [p for p in profiles if p.suits(volume)] or profiles
        nearest = min(p.distance(volume) for p in suitable)
        return [p for p in suitable if p.distance(volume) <= nearest + PROFILE_TOLERANCE]

    def _task(self, name: str) -> TaskInfo:
        try:
            return self.manifest.task(name)
        except KeyError:
            names = ", ".join(task.name for task in self.manifest.tasks)
            raise UsageError(f"the model has no task {name!r}", remedy=f"Use {AUTO} or one of {names}") from None

    def _require_dimension(self, volume: Volume) -> None:
        if volume.is_planar != self.manifest.is_planar:
            is_, wants = ("2-D", "3-D") if volume.is_planar else ("3-D", "2-D")
            raise InputError(
                f"the image is {is_}, the model {self.manifest.name} is for {wants} images",
                file=volume.name or None,
                remedy="Choose a model for this kind of image",
            )


def _merged_verdict(best: _Attempt, attempts: Sequence[_Attempt]) -> Verdict:
    """The best attempt's verdict, where each task's distance is the one measured under its own profile."""
    distances = dict(best.verdict.distances)
    for attempt in attempts:
        distances.update({t.name: attempt.verdict.distances[t.name] for t in attempt.tasks})
    return replace(best.verdict, distances=distances)


def _warnings(volume: Volume, task: TaskInfo, verdict: Verdict, found: bool) -> tuple[str, ...]:
    warnings = [verdict.sentence()] if verdict.is_ood else []
    if verdict.nearest_task != task.name:
        warnings.append(f"the image looks more like {verdict.nearest_task} than like the chosen task {task.name}")
    if not found:
        warnings.append(f"no structure of {task.name} was found")
    target = task.profile.spacing_zyx_mm
    if target and max(volume.spacing_mm) > MAX_UPSAMPLING * max(target):
        warnings.append("the voxels are much coarser than in the training images")
    return tuple(warnings)


def _part(progress: Progress, number: int, count: int) -> Progress:
    """Progress of one of several equal parts; the network takes the first 85 %."""
    return lambda share, step: progress(0.85 * (number + share) / count, step)


def _ignore(share: float, step: str) -> None:
    """Nobody wants to know."""


def _device(name: str) -> torch.device:
    if name not in (AUTO, "cpu", "cuda"):
        raise UsageError(f"there is no device {name!r}", remedy="Use auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ResourceError("no CUDA device is available", remedy="Use --device cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
