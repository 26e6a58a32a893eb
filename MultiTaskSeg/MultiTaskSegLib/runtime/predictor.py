"""Segment and check images with a model: the one door for command line, worker and trainer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError, ModelError, ResourceError, UsageError
from MultiTaskSegLib.runtime.image.profile import Prepared, Profile, prepare
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.labels.label_stream import RunningLabels
from MultiTaskSegLib.runtime.labels.labelling import finished
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import Model, load_model
from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from MultiTaskSegLib.runtime.network.backend_choice import choose_backend
from MultiTaskSegLib.runtime.ood.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.ood.cell_reference import on_image_grid
from MultiTaskSegLib.runtime.ood.reference import CLOSE_CALL
from MultiTaskSegLib.runtime.ood.signature import Observed
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.caution import cautions
from MultiTaskSegLib.runtime.prediction.network_pass import Encoded, NetworkPass
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation

Progress = Callable[[float, str], None]

AUTO = "auto"
# Profiles whose voxel size fits about as well as the best one (within this much in log units) are all tried.
PROFILE_TOLERANCE = 0.35
# The encoder's part of the work, as it is told to whoever waits.
RECOGNITION_SHARE = 0.4


@dataclass(frozen=True)
class _Attempt:
    """One profile tried on an image."""

    tasks: tuple[TaskInfo, ...]
    prepared: Prepared
    encoded: Encoded
    verdict: Verdict


_Labelled = tuple[TaskInfo, Verdict, Prepared, RunningLabels]


class Predictor:
    """A loaded model on a device.

    Args:
        model: from `load_model`.
        device: ``auto`` (a CUDA card when there is one), ``cpu`` or ``cuda``.
        backend: who computes, see `choose_backend`; ``auto`` for the fastest that is installed.

    Raises:
        UsageError: the device name is unknown.
        ResourceError: the device is not there.
    """

    def __init__(self, model: Model, device: str = AUTO, backend: str = AUTO) -> None:
        self.model = model
        self._backend_name = backend
        self.device = _device(device)
        self.network = model.network.to(self.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._backends: list[Backend] = []
        self.max_slab_voxels: int | None = None

    @classmethod
    def load(cls, path: str | Path, device: str = AUTO, backend: str = AUTO) -> Predictor:
        """Load a model file.

        Raises:
            ModelError: it is damaged or does not fit.
        """
        return cls(load_model(path), device, backend)

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
        network_pass = self._network_pass()
        chosen, verdict, prepared, running = (
            self._recognised(network_pass, volume, report)
            if task == AUTO
            else self._told(network_pass, volume, self._task(task), report)
        )
        report(0.95, "labels")
        labelling = finished(running, chosen, prepared)
        ended_s = time.perf_counter()
        report(1.0, "done")
        found = bool((labelling.labels > 0).any())
        timings = {
            "network_s": ended_s - started_s - running.seconds,
            "labels_s": running.seconds,
            "total_s": ended_s - started_s,
        }
        return Segmentation(
            volume,
            labelling.labels,
            labelling.uncertainty,
            labelling.confidence,
            chosen,
            verdict,
            self.manifest.name,
            self.model.digest,
            str(network_pass.device),
            timings,
            volume.warnings
            + cautions(volume, chosen, verdict, is_recognised=task == AUTO, is_something_found=found)
            + tuple(dict.fromkeys(network_pass.notes)),
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
        return self.examine(volume, progress)[0]

    def examine(self, volume: Volume, progress: Progress | None = None) -> tuple[Verdict, Mapping[str, LayerSpectrum]]:
        """The verdict of `check`, and the spectra of the signature's layers behind it, by layer.

        Raises:
            InputError: as `segment`.
            ResourceError: memory runs out.
        """
        attempt, verdict = self._recognise(self._network_pass(), volume, 1.0, progress or _ignore)
        return verdict, attempt.encoded.spectra

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
        attempt, verdict = self._recognise(self._network_pass(), volume, 1.0, progress or _ignore)
        memory = self.model.memories[self.model.reference.task_names.index(verdict.nearest_task)]
        cell = cell_size(self.manifest.architecture)
        return verdict, on_image_grid(memory.rarity(image_cells(attempt.prepared.voxels, cell)), cell, attempt.prepared)

    def _network_pass(self) -> NetworkPass:
        if not self._backends:
            self._backends = [choose_backend(self.network, self.model.digest, self.device, self._backend_name)]
            if self.device.type != "cpu":
                self._backends.append(TorchBackend(self.network, torch.device("cpu")))
        spec = self.model.reference.spec
        return NetworkPass(self._backends, self.manifest.architecture, spec, self.max_slab_voxels)

    def _told(self, network_pass: NetworkPass, volume: Volume, task: TaskInfo, progress: Progress) -> _Labelled:
        """Labels of a named task; the verdict is found on the way."""
        self._require_dimension(volume)
        progress(0.0, "preparing")
        prepared = prepare(volume, task.profile)
        tell = _stretched(progress, 0.02, 0.95, network_pass)
        spectra, running = network_pass.label(prepared.voxels, task, prepared.canonical_shape, None, tell)
        alike = [t for t in self.manifest.tasks if t.profile == task.profile]
        return task, self._judge(spectra, prepared, alike), prepared, running

    def _recognised(self, network_pass: NetworkPass, volume: Volume, progress: Progress) -> _Labelled:
        """Labels of the task whose images are nearest, which is known once the encoder has seen the image."""
        attempt, verdict = self._recognise(network_pass, volume, RECOGNITION_SHARE, progress)
        task, prepared = self._task(verdict.nearest_task), attempt.prepared
        tell = _stretched(progress, RECOGNITION_SHARE, 0.95, network_pass)
        shape = prepared.canonical_shape
        return task, verdict, prepared, network_pass.label(prepared.voxels, task, shape, attempt.encoded, tell)[1]

    def _recognise(
        self, network_pass: NetworkPass, volume: Volume, end: float, progress: Progress
    ) -> tuple[_Attempt, Verdict]:
        """Try the profiles that fit and keep the one with the nearest known images.

        When that is not the ``end`` of the work, maps that the decoder needs are kept.
        """
        self._require_dimension(volume)
        profiles = self.candidate_profiles(volume)
        best: _Attempt | None = None
        verdicts: list[Verdict] = []
        distances: dict[str, float] = {}
        for number, profile in enumerate(profiles):
            progress(end * number / len(profiles), "preparing")
            share = end / len(profiles)
            tell = _stretched(progress, share * (number + 0.05), share * (number + 1), network_pass)
            attempt = self._attempt(network_pass, volume, profile, end < 1, tell)
            distances.update({t.name: attempt.verdict.distances[t.name] for t in attempt.tasks})
            verdicts.append(attempt.verdict)
            # Only the best one's maps stay in memory.
            if best is None or attempt.verdict.score < best.verdict.score:
                best = attempt
        assert best is not None
        close = best.verdict.score * np.exp(CLOSE_CALL)
        others = [v.nearest_task for v in verdicts if v is not best.verdict and v.score <= close]
        rivals = (*best.verdict.rivals, *others)
        return best, replace(best.verdict, distances={**best.verdict.distances, **distances}, rivals=rivals)

    def _attempt(
        self, network_pass: NetworkPass, volume: Volume, profile: Profile, keep: bool, tell: Callable[[float], None]
    ) -> _Attempt:
        prepared = prepare(volume, profile)
        tasks = tuple(t for t in self.manifest.tasks if t.profile == profile)
        encoded = network_pass.encode(prepared.voxels, keep, tell)
        verdict = self._judge(encoded.spectra, prepared, tasks)
        return _Attempt(tasks, prepared, encoded, verdict)

    def _judge(self, spectra: Mapping[str, LayerSpectrum], prepared: Prepared, tasks: Sequence[TaskInfo]) -> Verdict:
        """Only these tasks, those of the profile, count: the others' images were prepared differently."""
        reference, planar = self.model.reference, self.manifest.architecture.is_planar
        observed: Observed = {**spectra, **reference.spec.image_part(prepared.voxels, planar)}
        return reference.judge(observed, among=[t.name for t in tasks])

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


def _stretched(progress: Progress, start: float, end: float, network_pass: NetworkPass) -> Callable[[float], None]:
    """Progress of the network as a part of the whole."""

    def tell(share: float) -> None:
        """The step's name says when memory was short."""
        progress(start + (end - start) * share, "network, with less memory" if network_pass.notes else "network")

    return tell


def _ignore(share: float, step: str) -> None:
    """Nobody wants to know."""


def _device(name: str) -> torch.device:
    if name not in (AUTO, "cpu", "cuda"):
        raise UsageError(f"there is no device {name!r}", remedy="Use auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ResourceError("no CUDA device is available", remedy="Use --device cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
