"""Segment images with an imported model: nnU-Net's own way of preparation and patches, and what is told beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.image.preparation import Prepared
from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_file import ImportedModel
from MultiTaskSegLib.runtime.imported.imported_judgement import (
    foreign_map,
    judged,
    plainly_prepared,
    required_reference,
)
from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
from MultiTaskSegLib.runtime.imported.patch_spectra import PatchSpectra
from MultiTaskSegLib.runtime.imported.score_maps import Running, WayBack, finished_maps, running_maps
from MultiTaskSegLib.runtime.imported.stored_axes import orientation_letters, reader_axes, reader_spacing_mm
from MultiTaskSegLib.runtime.machine.memory_shortage import is_card_short, is_out_of_memory, memory_error
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.prospect import PLAIN
from MultiTaskSegLib.runtime.nnunet.label_slabs import score_slices
from MultiTaskSegLib.runtime.nnunet.patch_stream import PatchStream
from MultiTaskSegLib.runtime.nnunet.prepared_image import PreparedImage, prepared_image
from MultiTaskSegLib.runtime.nnunet.resampling_grid import slice_axis
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from MultiTaskSegLib.runtime.ood.verdict import NOT_CHECKED, REGION_NOT_CHECKED, Verdict
from MultiTaskSegLib.runtime.prediction.answer import FoundMaps, quality_of_maps
from MultiTaskSegLib.runtime.prediction.caution import weakness
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.quality.image_quality import ImageQuality

AUTO = "auto"
# Shares of the whole that are told when the image is prepared, and when all patches are done.
PREPARED, PREDICTED = 0.03, 0.97
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class _Sight:
    """An image as the network sees it, the way back, and what a report says of it."""

    prepared: PreparedImage
    way_back: WayBack
    grid: dict[str, Any]


@dataclass(frozen=True)
class OwnGridScores:
    """What comes of one pass over an image.

    Attributes:
        slices: scores ``(outputs, Y, X)`` of the cropped image, in order.
        way_back: to the whole image.
        watch: has the spectra once all slices have come; None where none are wanted.
    """

    slices: Iterator[torch.Tensor]
    way_back: WayBack
    watch: PatchSpectra | None


class ImportedPredictor:
    """A loaded model on a device.

    Args:
        model: from `load_imported`.
        device: where patches are computed.
        mirror: whether scores are averaged over mirrored patches, as nnU-Net does unless told otherwise; it takes up to
            eight times as long.

    Attributes:
        model: the same.
        memory_step: not used; patches have the size that the model was planned for.
        spares_memory: not used; only plain torch computes.
        keeps_maps: not used; nothing is remembered of an image.
        prospect: plain torch.
    """

    def __init__(self, model: ImportedModel, device: torch.device, *, mirror: bool = False) -> None:
        self.model, self.device = model, device
        self._mirror_axes = model.manifest.origin.mirror_axes if mirror else ()
        self._networks = [network.to(device) for network in model.networks]
        self.memory_step = 0
        self.spares_memory = self.keeps_maps = False
        self.prospect = PLAIN

    @property
    def manifest(self) -> ImportedManifest:
        """The model's description."""
        return self.model.manifest

    def candidate_profiles(self, volume: Volume) -> list[Profile]:
        """How images may be prepared: in one way."""
        return [self.manifest.tasks[0].profile]

    def segment(self, volume: Volume, task: str = AUTO, progress: Progress | None = None) -> Segmentation:
        """Segment an image on its own grid, with uncertainty.

        Labels are those of ``nnUNetv2_predict --disable_tta``, whose probabilities are told beside them.

        Args:
            volume: the image, with the channels of the task in its order.
            task: its name, or ``auto``: there is one.
            progress: called with the share done and the step's name.

        Raises:
            InputError: the image has another number of channels, is 2-D where the model is 3-D, or shows nothing.
            ModelError: scores are not finite.
            UsageError: there is no such task.
            ResourceError: memory runs out.
        """
        chosen, tell = self._task(task), progress or _nobody
        self.require_fitting(volume)
        started_s = time.perf_counter()
        with _typed_shortage():
            sight = self._prepared(volume, tell)
            watch = None if volume.whole is not None else self._spectra(sight)
            maps = finished_maps(self._running(sight, chosen, watch, tell), chosen, sight.way_back)
            verdict = None if watch is None else self._judged(volume, watch)
        tell(1.0, "done")
        is_known = verdict is None or not verdict.is_ood
        quality = self._quality(maps, verdict, chosen) if self.manifest.is_calibrated else None
        dice = quality.dice if quality is not None and is_known else {}
        nothing = () if (maps.labels > 0).any() else (f"no structure of {chosen.name} was found",)
        return Segmentation(
            volume,
            maps.labels,
            maps.uncertainty,
            maps.confidence,
            chosen,
            verdict,
            self.manifest.name,
            self.model.digest,
            str(self.device),
            {"total_s": time.perf_counter() - started_s},
            (*_first_warnings(verdict, volume), *nothing, *weakness(chosen)),
            dice,
            maps.regions,
            maps.region_confidence,
            sight.grid,
            quality=quality,
        )

    def _quality(self, maps: FoundMaps, verdict: Verdict | None, task: TaskInfo) -> ImageQuality:
        return quality_of_maps(maps, None if verdict is None else verdict.score, self.manifest.quality_of(task))

    def check(self, volume: Volume, progress: Progress | None = None) -> Verdict:
        """The verdict alone, the same as that of `segment`.

        Raises:
            ModelError: the model has no reference.
            InputError, ResourceError: as `segment`.
        """
        return self.examine(volume, progress)[0]

    def examine(
        self, volume: Volume, progress: Progress | None = None
    ) -> tuple[Verdict, Mapping[str, LayerSpectrum], Prepared]:
        """The verdict of `check`, the spectra behind it by layer, and the image as its own statistics see it.

        Raises:
            ModelError: the model has no reference.
            InputError, ResourceError: as `segment`.
        """
        spectra = self.spectra(volume, required_reference(self.model).spec, progress)
        with _typed_shortage():
            prepared = plainly_prepared(volume, self.manifest.tasks[0].profile)
            return judged(self.model, spectra, volume, prepared), spectra, prepared

    def spectra(
        self, volume: Volume, spec: SignatureSpec, progress: Progress | None = None
    ) -> Mapping[str, LayerSpectrum]:
        """Spectra of the signature's layers by the encoder of the first fold.

        Raises:
            InputError, ResourceError: as `segment`.
        """
        self.require_fitting(volume)
        with _typed_shortage():
            tell = progress or _nobody
            sight = self._prepared(volume, tell)
            collector = self._collector(sight, spec)
            self._stream().look(sight.prepared.voxels, collector, _network(tell))
            return collector.spectra()

    def locate(self, volume: Volume, progress: Progress | None = None) -> tuple[Verdict, NDArray[np.float32]]:
        """The verdict of `check`, and where the image is foreign; see `Predictor.locate`.

        Raises:
            ModelError: the model has no reference, or no memory of cells.
            InputError, ResourceError: as `segment`.
        """
        verdict, _, prepared = self.examine(volume, progress)
        with _typed_shortage():
            return verdict, foreign_map(self.model, prepared)

    def _prepared(self, volume: Volume, tell: Progress) -> _Sight:
        preparation = self.manifest.plan.preparation
        tell(0.0, "preparing")
        axes = reader_axes(volume, preparation.reader)
        spacing_mm = reader_spacing_mm(volume, axes, preparation.reader)
        channels = [np.asarray(axes.apply(channel), dtype=np.float32) for channel in volume.channels]
        whole = None if volume.whole is None else [np.asarray(axes.apply(one)) for one in volume.whole.channels]
        prepared = prepared_image(channels, spacing_mm, preparation, whole)
        grid = {
            "orientation": orientation_letters(volume, axes),
            "size": list(reversed(prepared.voxels.shape[1:])),
            "spacing_mm": list(reversed(prepared.network_spacing_mm)),
            "image_spacing_mm": list(reversed(prepared.spacing_mm)),
            "trained_spacing_mm": list(reversed(preparation.spacing_mm)),
        }
        return _Sight(prepared, WayBack(prepared, preparation.transpose, axes), grid)

    def _stream(self) -> PatchStream:
        plan = self.manifest.plan
        patch, outputs = plan.preparation.patch, plan.structures.outputs
        return PatchStream(self._networks, outputs, patch, self._mirror_axes, self.device)

    def own_grid_scores(self, volume: Volume, spec: SignatureSpec | None = None) -> OwnGridScores:
        """Scores of one slice after another on the image's own grid.

        Args:
            volume: the image.
            spec: of the signature whose layers are looked at meanwhile; None where nobody wants to know.

        Raises:
            InputError: as `segment`.
        """
        self.require_fitting(volume)
        sight = self._prepared(volume, _nobody)
        watch = None if spec is None else self._collector(sight, spec)
        return OwnGridScores(self._slices(sight, watch, _nobody), sight.way_back, watch)

    def _running(self, sight: _Sight, task: TaskInfo, watch: PatchSpectra | None, tell: Progress) -> Running:
        return running_maps(task, self._slices(sight, watch, tell), sight.prepared.cropped_shape)

    def _slices(self, sight: _Sight, watch: PatchSpectra | None, tell: Progress) -> Iterator[torch.Tensor]:
        prepared, rule = sight.prepared, self.manifest.plan.preparation.scores
        slabs = self._stream().slabs(prepared.voxels, _network(tell), watch)
        axis = slice_axis(rule, prepared.network_spacing_mm, prepared.spacing_mm)
        return score_slices(slabs, prepared.voxels.shape[1:], prepared.cropped_shape, rule, axis)

    def _spectra(self, sight: _Sight) -> PatchSpectra | None:
        reference = self.model.reference
        return None if reference is None else self._collector(sight, reference.spec)

    def _collector(self, sight: _Sight, spec: SignatureSpec) -> PatchSpectra:
        grid, patch = sight.prepared.voxels.shape[1:], self.manifest.plan.preparation.patch
        return PatchSpectra(self.manifest.architecture, spec.layers, grid, patch, spec.floor)

    def _judged(self, volume: Volume, watch: PatchSpectra) -> Verdict:
        prepared = plainly_prepared(volume, self.manifest.tasks[0].profile)
        return judged(self.model, watch.spectra(), volume, prepared)

    def require_fitting(self, volume: Volume) -> None:
        """Refuse an image that the model cannot take.

        Raises:
            InputError: it has another number of channels, or is 2-D where the model is 3-D.
        """
        (task,) = self.manifest.tasks
        if volume.channel_count != task.input_count:
            raise InputError(
                f"the image has {volume.channel_count} channels, the model {self.manifest.name} takes "
                f"{task.input_count}: {', '.join(task.inputs)}",
                file=volume.name or None,
                remedy="Give one image for each channel, in this order",
            )
        if volume.is_planar and not self.manifest.is_planar:
            raise InputError(
                f"the image is 2-D, the model {self.manifest.name} is for 3-D images",
                file=volume.name or None,
                remedy="Choose a model for this kind of image",
            )

    def _task(self, name: str) -> TaskInfo:
        (task,) = self.manifest.tasks
        if name not in (AUTO, task.name):
            raise UsageError(f"the model has no task {name!r}", remedy=f"Use {AUTO} or {task.name}")
        return task


def _first_warnings(verdict: Verdict | None, volume: Volume) -> tuple[str, ...]:
    """Sentences on the image, the gravest first."""
    if verdict is None:
        return (NOT_CHECKED if volume.whole is None else REGION_NOT_CHECKED, *volume.warnings)
    return (*([verdict.sentence()] if verdict.is_ood else []), *verdict.warnings)


def _network(tell: Progress) -> Callable[[float], None]:
    """Tells the share of the patches that is done as a share of the whole."""

    def told(share: float) -> None:
        """A share of the patches is done."""
        tell(PREPARED + (PREDICTED - PREPARED) * share, "network")

    told(0.0)
    return told


@contextmanager
def _typed_shortage() -> Iterator[None]:
    """Within the block, a lack of main memory is told in words; where a card ran out, the host takes the processor."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or is_card_short(error):
            raise
        raise memory_error(error) from error


def _nobody(share: float, step: str) -> None:
    """Nobody wants to know."""
