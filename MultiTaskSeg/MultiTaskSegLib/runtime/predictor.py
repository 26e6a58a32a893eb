"""Segment and check images with a model: the one door for command line, worker and trainer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError, ModelError, UsageError
from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_file import is_imported, load_imported
from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.machine.compute_device import torch_device
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import Model, load_model
from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from MultiTaskSegLib.runtime.network.backend_choice import TORCH, asked_for, choose_backend, prospect_of
from MultiTaskSegLib.runtime.network.compiled_backend import CompiledBackend
from MultiTaskSegLib.runtime.network.prospect import PLAIN, Prospect
from MultiTaskSegLib.runtime.ood.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.ood.cell_reference import on_image_grid
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.answer import answer
from MultiTaskSegLib.runtime.prediction.candidate import (
    Candidate,
    candidates_of,
    fitting_profiles,
    only_task,
    wrong_channels,
)
from MultiTaskSegLib.runtime.prediction.caution import coarseness
from MultiTaskSegLib.runtime.prediction.channel_swap import swap_warnings
from MultiTaskSegLib.runtime.prediction.network_pass import NetworkPass
from MultiTaskSegLib.runtime.prediction.recognition import Sight, recognise
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.prediction.sights import SeenImage, Sights
from MultiTaskSegLib.runtime.prediction.stage_progress import Progress, StageProgress, rising

AUTO = "auto"
# Shares of the whole that are told when the image has been looked at. Where its task must be found,
# the decoder comes afterwards; where it is known, labels come from the same pass.
RECOGNISED, LABELLED = 0.4, 0.95


class Predictor:
    """A loaded model on a device.

    Args:
        model: from `load_model`.
        device: ``auto`` (a CUDA card when there is one), ``cpu`` or ``cuda``.
        backend: who computes, see `choose_backend`; ``auto`` for the fastest that is installed; or one that was built
            from the same network.
        sights: where to remember what was made of images; None: every run computes all it needs.

    Raises:
        UsageError: the device name is unknown.
        ResourceError: the device is not there.

    Attributes:
        memory_step: how many steps down the ladder from large to small parts of an image to begin; where memory runs
            out all the same, further ones are gone.
        spares_memory: whether plain torch computes, whichever back end is the fastest: others take more than planned.
        keeps_maps: whether a check holds encoder maps in ``sights`` for labels that may be asked for next.
    """

    def __init__(
        self, model: Model, device: str = AUTO, backend: str | Backend = AUTO, sights: Sights | None = None
    ) -> None:
        self.model = model
        self._backend_name = backend if isinstance(backend, str) else backend.name
        self.device = torch_device(device)
        self.network = model.network.to(self.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._backend: Backend | None = None if isinstance(backend, str) else backend
        self._last_pass: NetworkPass | None = None
        self.memory_step = 0
        self.spares_memory = self.keeps_maps = False
        self._sights = sights

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
            InputError: the image is constant, 2-D where the model is 3-D or the other way round, or has another number
                of channels than the task.
            UsageError: there is no such task.
            ResourceError: memory runs out.
        """
        self.require_labels()
        whole, started_s = _whole(progress), time.perf_counter()
        named = None if task == AUTO else self._task(task)
        candidates = self._candidates(volume, named)
        known = named or only_task(self.manifest.tasks, [candidate.profile for candidate in candidates])
        looked = LABELLED if known else RECOGNISED
        seen = self._seen(volume)
        sight = recognise(candidates, volume, whole.part(0.0, looked), keep=True, known=known, seen=seen)
        if seen is not None and sight.ready is None:
            looked, sight.encoded.kept = 0.0, seen.take(sight.candidate)  # nothing had to be computed yet
        decoding, labelling = whole.part(looked, LABELLED), whole.part(LABELLED, 1.0)
        chosen, recognised = known or sight.nearest_task, named is None
        result = answer(sight, volume, chosen, decoding, labelling, started_s=started_s, is_recognised=recognised)
        if result.verdict is None:
            return result
        return result.with_warnings(swap_warnings([sight.candidate], volume, sight.verdict))

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
        sight = self._recognised(volume, _whole(progress))
        return _told(sight, volume), sight.encoded.spectra

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
        sight = self._recognised(volume, _whole(progress))
        memory = self.model.memories[self.model.reference.task_names.index(sight.verdict.nearest_task)]
        cell = cell_size(self.manifest.architecture)
        # What each step has left in the heap must not lie beside what follows.
        release_freed_memory()
        prepared = sight.prepared
        features = image_cells(prepared.voxels, cell)
        release_freed_memory()
        rarity = memory.rarity(features)
        release_freed_memory()
        return _told(sight, volume), on_image_grid(rarity, cell, prepared)

    @property
    def backend(self) -> Backend:
        """What computes: the one that was chosen at first use, or plain torch since that failed."""
        if self._last_pass is not None and self._last_pass.replaced:
            self._backend = self._last_pass.backend
        if self._backend is None:
            permitted = self.manifest.permitted_precisions
            self._backend = choose_backend(
                self.network, self.model.digest, self.device, self._backend_name, permitted=permitted
            )
        return self._backend

    @property
    def prospect(self) -> Prospect:
        """What may compute the next run, and must be compiled or tried for it first."""
        if self._backend is not None:
            return Prospect(is_compiled=isinstance(self.backend, CompiledBackend))
        if self.device.type != "cpu":
            return PLAIN  # nothing is compiled for a card, whose memory another copy of the weights would take
        plain, permitted = TorchBackend(self.network, self.device), self.manifest.permitted_precisions
        return prospect_of(plain, self.model.digest, self._backend_name, permitted=permitted)

    @cached_property
    def _plain(self) -> Backend:
        return TorchBackend(self.network, self.device)

    def _network_pass(self) -> NetworkPass:
        spec = self.model.reference.spec
        # Told with every image: whoever reads the report of one does not see those of the others.
        replaced = self._last_pass.replaced if self._last_pass else ()
        backend = self._plain if self.spares_memory else self.backend
        self._last_pass = NetworkPass(backend, self.manifest.architecture, spec, self.memory_step, replaced)
        wanted = asked_for(self._backend_name)
        if self.spares_memory and wanted not in (AUTO, TORCH):
            self._last_pass.shortages.append(f"memory was short, so plain torch was used, not {wanted}")
        return self._last_pass

    def _recognised(self, volume: Volume, progress: StageProgress) -> Sight:
        """Prepare, encode, judge: as images of every profile that fits are."""
        candidates, seen = self._candidates(volume), self._seen(volume)
        keeps = self.keeps_maps and seen is not None
        sight = recognise(candidates, volume, progress, keep=keeps, seen=seen)
        if keeps and seen is not None and sight.ready is not None and not sight.notes:
            seen.keep(sight.candidate, sight.encoded.kept, sight.verdict)
        return sight

    def _candidates(self, volume: Volume, known: TaskInfo | None = None) -> list[Candidate]:
        """As what an image is looked at: as a known task's images are, or as those of every profile that fits."""
        self._require_dimension(volume)
        if known and known.input_count != volume.channel_count:
            raise wrong_channels([known], volume)
        profiles = [known.profile] if known else self.candidate_profiles(volume)
        return candidates_of(self.model, self._network_pass(), profiles)

    def _seen(self, volume: Volume) -> SeenImage | None:
        if self._sights is None:
            return None
        if self.memory_step:
            # In smaller parts a check and a segmentation differ in the last bits, and memory is for the run itself.
            self._sights.drop_maps()
            return None
        backend = self._plain if self.spares_memory else self.backend
        return self._sights.of(volume, (str(self.device), backend.name))

    def candidate_profiles(self, volume: Volume) -> list[Profile]:
        """Profiles that suit the image's scale and voxel size; with task ``auto`` all of them are tried."""
        return fitting_profiles(self.manifest, volume)

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


def open_predictor(
    path: str | Path, device: str = AUTO, backend: str = AUTO, sights: Sights | None = None
) -> Predictor | ImportedPredictor:
    """The predictor of a model file, whether it was trained here or imported.

    Args:
        path: of the file.
        device, backend, sights: as for `Predictor`; imported models are computed by plain torch and remember nothing.

    Raises:
        ModelError: the file is damaged or does not fit.
        UsageError: the device name is unknown.
        ResourceError: the device is not there.
    """
    if is_imported(path):
        return ImportedPredictor(load_imported(path), torch_device(device))
    return Predictor(load_model(path), device, backend, sights)


def _told(sight: Sight, volume: Volume) -> Verdict:
    """The verdict, with everything that there is to know about the way to it."""
    swaps = swap_warnings([sight.candidate], volume, sight.verdict)
    notes = (*volume.warnings, *coarseness(sight.frame), *swaps, *sight.notes)
    return replace(sight.verdict, warnings=notes)


def _whole(progress: Progress | None) -> StageProgress:
    return StageProgress(rising(progress or _ignore))


def _ignore(share: float, step: str) -> None:
    """Nobody wants to know."""
