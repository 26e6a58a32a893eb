"""Segment images with an imported model: nnU-Net's own way of preparation and patches, and what is told beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn

import torch

from MultiTaskSegLib.runtime.errors import InputError, ModelError, UsageError
from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_file import ImportedModel
from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
from MultiTaskSegLib.runtime.imported.score_maps import ScoreMaps, WayBack, finished_maps, running_maps
from MultiTaskSegLib.runtime.imported.stored_axes import orientation_letters, reader_axes, reader_spacing_mm
from MultiTaskSegLib.runtime.machine.memory_shortage import is_card_short, is_out_of_memory, memory_error
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.nnunet.label_slabs import score_slices
from MultiTaskSegLib.runtime.nnunet.patch_stream import PatchStream
from MultiTaskSegLib.runtime.nnunet.prepared_image import prepared_image
from MultiTaskSegLib.runtime.nnunet.resampling_grid import slice_axis
from MultiTaskSegLib.runtime.ood.verdict import NOT_CHECKED
from MultiTaskSegLib.runtime.prediction.caution import weakness
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation

AUTO = "auto"
# Shares of the whole that are told when the image is prepared, and when all patches are done.
PREPARED, PREDICTED = 0.03, 0.97
Progress = Callable[[float, str], None]


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
    """

    def __init__(self, model: ImportedModel, device: torch.device, *, mirror: bool = False) -> None:
        self.model, self.device = model, device
        self._mirror_axes = model.manifest.origin.mirror_axes if mirror else ()
        self._networks = [network.to(device) for network in model.networks]
        self.memory_step = 0
        self.spares_memory = False

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
        try:
            maps, grid = self._maps(volume, chosen, tell)
        except (MemoryError, RuntimeError) as error:
            # Where a card ran out, the host goes on with the processor.
            if not is_out_of_memory(error) or is_card_short(error):
                raise
            raise memory_error(error) from error
        tell(1.0, "done")
        dice = maps.predicted_dice if self.manifest.is_calibrated else {}
        nothing = () if (maps.labels > 0).any() else (f"no structure of {chosen.name} was found",)
        return Segmentation(
            volume,
            maps.labels,
            maps.uncertainty,
            maps.confidence,
            chosen,
            None,
            self.manifest.name,
            self.model.digest,
            str(self.device),
            {"total_s": time.perf_counter() - started_s},
            (*volume.warnings, NOT_CHECKED, *nothing, *weakness(chosen)),
            dice,
            maps.regions,
            maps.region_confidence,
            grid,
        )

    def check(self, volume: Volume, progress: Progress | None = None) -> NoReturn:
        """There is no verdict without a reference.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            f"the model {self.manifest.name} has no reference images, so that no image can be checked with it",
            remedy="Add them with 'multitaskseg-trainer reference'",
        )

    def locate(self, volume: Volume, progress: Progress | None = None) -> NoReturn:
        """There is no map of foreign places without a reference.

        Raises:
            ModelError: always.
        """
        self.check(volume, progress)

    def _maps(self, volume: Volume, task: TaskInfo, tell: Progress) -> tuple[ScoreMaps, dict[str, Any]]:
        plan = self.manifest.plan
        preparation = plan.preparation
        tell(0.0, "preparing")
        axes = reader_axes(volume, preparation.reader)
        spacing_mm = reader_spacing_mm(volume, axes, preparation.reader)
        prepared = prepared_image([axes.apply(c) for c in volume.channels], spacing_mm, preparation)
        way_back = WayBack(prepared, preparation.transpose, axes)
        stream = PatchStream(self._networks, plan.structures.outputs, preparation.patch, self._mirror_axes, self.device)

        def told(share: float) -> None:
            """A share of the patches is done."""
            tell(PREPARED + (PREDICTED - PREPARED) * share, "network")

        told(0.0)
        axis = slice_axis(preparation.scores, prepared.network_spacing_mm, prepared.spacing_mm)
        slices = score_slices(
            stream.slabs(prepared.voxels, told),
            prepared.voxels.shape[1:],
            prepared.cropped_shape,
            preparation.scores,
            axis,
        )
        running = running_maps(task, slices, prepared.cropped_shape)
        tell(PREDICTED, "labels")
        return finished_maps(running, task, way_back), {
            "orientation": orientation_letters(volume, axes),
            "size": list(reversed(prepared.voxels.shape[1:])),
            "spacing_mm": list(reversed(prepared.network_spacing_mm)),
            "image_spacing_mm": list(reversed(prepared.spacing_mm)),
            "trained_spacing_mm": list(reversed(preparation.spacing_mm)),
        }

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


def _nobody(share: float, step: str) -> None:
    """Nobody wants to know."""
