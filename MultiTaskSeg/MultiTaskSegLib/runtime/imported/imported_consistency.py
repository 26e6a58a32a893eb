"""Does the description of an imported model make sense? A digest proves that a file is whole, not that it is sound."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.imported.imported_manifest import IMAGE_SPACING, VALIDATION, ImportedManifest
from MultiTaskSegLib.runtime.model.manifest_bounds import BOUNDS, COUNTS, check_bounds
from MultiTaskSegLib.runtime.model.model_consistency import check_manifest, check_quality
from MultiTaskSegLib.runtime.model.structure import to_plain
from MultiTaskSegLib.runtime.nnunet.plans import MAX_PATCH_VOXELS
from MultiTaskSegLib.runtime.nnunet.preparation_plan import (
    MAX_ORDER,
    READERS,
    RESAMPLERS,
    SCHEMES,
    PreparationPlan,
    Resampling,
)
from MultiTaskSegLib.runtime.nnunet.structures import MAX_LABEL, Structures
from MultiTaskSegLib.runtime.nnunet.unet_plan import (
    MAX_BLOCKS,
    MAX_FEATURES,
    MAX_KERNEL,
    MAX_STAGES,
    MAX_STRIDE,
    PLAIN,
    RESIDUAL,
    UnetPlan,
)

MAX_PATCH = 4096
_VALUE = (-1e30, 1e30)
_MILLIMETRES = (1e-6, 1e6)
_ORDER = (0, MAX_ORDER)

IMPORTED_BOUNDS: dict[str, tuple[float, float]] = {
    **{key: value for key, value in BOUNDS.items() if not key.startswith("architecture.")},
    "format_version": (2, 2),
    "tasks[].profile.spacing_zyx_mm[]": _MILLIMETRES,
    "origin.folds[].epochs": (0, 10**6),
    "origin.mirror_axes[]": (0, 2),
    "plan.network.features[]": (1, MAX_FEATURES),
    "plan.network.kernels[][]": (1, MAX_KERNEL),
    "plan.network.strides[][]": (1, MAX_STRIDE),
    "plan.network.blocks[]": (1, MAX_BLOCKS),
    "plan.network.decoder_convolutions[]": (1, MAX_BLOCKS),
    "plan.network.norm_eps": (1e-30, 1e3),
    "plan.network.slope": (-1e3, 1e3),
    "plan.preparation.transpose[]": (0, 2),
    "plan.preparation.spacing_mm[]": _MILLIMETRES,
    "plan.preparation.patch[]": (1, MAX_PATCH),
    "plan.preparation.normalisations[].mean": _VALUE,
    "plan.preparation.normalisations[].deviation": _VALUE,
    "plan.preparation.normalisations[].low": _VALUE,
    "plan.preparation.normalisations[].high": _VALUE,
    "plan.preparation.images.order": _ORDER,
    "plan.preparation.images.order_across": _ORDER,
    "plan.preparation.images.threshold": _VALUE,
    "plan.preparation.scores.order": (1, 1),
    "plan.preparation.scores.order_across": (0, 1),
    "plan.preparation.scores.threshold": _VALUE,
    "plan.structures.entries[].values[]": (0, MAX_LABEL),
    "plan.structures.entries[].painted": (1, 255),
}

IMPORTED_COUNTS = {
    **{key: value for key, value in COUNTS.items() if not key.startswith("architecture.")},
    "tasks": 1,
    "origin.folds": 64,
    "plan.network.features": MAX_STAGES,
    "plan.network.kernels": MAX_STAGES,
    "plan.network.strides": MAX_STAGES,
    "plan.network.blocks": MAX_STAGES,
    "plan.network.decoder_convolutions": MAX_STAGES,
    "plan.structures.entries": 255,
    "plan.structures.entries[].values": 255,
    "plan.structures.channels": 32,
    "plan.preparation.normalisations": 32,
}


def check_imported_bounds(plain: Any) -> None:
    """Check every number and text of a manifest as plain JSON values, before anything is built from it.

    Raises:
        ModelError: as `check_bounds`.
    """
    check_bounds(plain, IMPORTED_BOUNDS, IMPORTED_COUNTS)


def check_imported_manifest(manifest: ImportedManifest) -> None:
    """Check what the types of the manifest's fields cannot express.

    Raises:
        ModelError: a number is out of bounds, a name stands for nothing, or parts contradict each other.
    """
    check_imported_bounds(to_plain(manifest))
    _require(bool(manifest.licence.strip()), "the licence is missing")
    names = [fold.name for fold in manifest.origin.folds]
    _require(bool(names) and len(set(names)) == len(names), "there is no fold, or one twice")
    plan = manifest.plan
    _check_network(plan.network)
    _check_preparation(plan.preparation, plan.network, len(plan.structures.channels))
    axes = manifest.origin.mirror_axes
    _require(
        len(set(axes)) == len(axes) and all(axis < plan.network.dimension for axis in axes),
        "the mirrored axes are not those of a patch",
    )
    _check_task(manifest, plan.structures)
    _check_training(manifest.training)
    check_quality(manifest.quality, len(manifest.tasks))
    if manifest.ood is not None:
        # Tells of whatever the signature cannot be.
        check_manifest(manifest.in_own_terms(manifest.ood))
        _require(set(manifest.ood.layers) <= set(manifest.encoder_layers), "the signature uses layers of the decoder")


def _check_network(plan: UnetPlan) -> None:
    _require(plan.kind in (PLAIN, RESIDUAL), f"there is no network {plan.kind!r}")
    stages = len(plan.features)
    lengths = (len(plan.kernels), len(plan.strides), len(plan.blocks), len(plan.decoder_convolutions) + 1)
    _require(stages >= 2 and all(length == stages for length in lengths), "the network's lists have different lengths")
    rows = (*plan.kernels, *plan.strides)
    _require(
        len(plan.kernels[0]) in (2, 3) and len({len(row) for row in rows}) == 1, "the network has mixed dimensions"
    )
    _require(all(size % 2 == 1 for kernel in plan.kernels for size in kernel), "the network has even kernels")


def _check_preparation(plan: PreparationPlan, network: UnetPlan, channels: int) -> None:
    dimension = network.dimension
    _require(plan.reader in READERS.values(), f"there is no reader {plan.reader!r}")
    _require(sorted(plan.transpose) == [0, 1, 2], "the transposition is no order of three axes")
    _require(len(plan.patch) == len(plan.spacing_mm) == dimension, "patch and spacing have other dimensions")
    steps = [prod(axis) for axis in zip(*network.strides, strict=True)]
    fits = all(size % step == 0 for size, step in zip(plan.patch, steps, strict=True))
    _require(fits and prod(plan.patch) <= MAX_PATCH_VOXELS, "the patch does not fit the network's strides, or memory")
    _require(channels > 0 and len(plan.normalisations) == channels, "not every channel has a normalisation")
    for rule in plan.normalisations:
        _require(rule.scheme in SCHEMES.values(), f"there is no normalisation {rule.scheme!r}")
        _require(rule.low <= rule.high, "a normalisation has its lower limit above the upper one")
    for resampling in (plan.images, plan.scores):
        _check_resampling(resampling)


def _check_resampling(rule: Resampling) -> None:
    _require(rule.kind in RESAMPLERS.values(), f"there is no resampling {rule.kind!r}")


def _check_task(manifest: ImportedManifest, structures: Structures) -> None:
    _require(len(manifest.tasks) == 1, "there is not one task")
    (task,) = manifest.tasks
    painted = tuple(entry.painted for entry in structures.entries)
    _require(bool(task.name) and bool(painted), "the task has no name or no label")
    _require(tuple(label.value for label in task.labels) == painted, "the labels are not those of the network")
    _require(len(set(painted)) == len(painted), "two structures have one label value")
    if not structures.are_regions:
        _require(painted == tuple(range(1, len(painted) + 1)), "the labels are not numbered 1, 2, 3 and so on")
    _require(task.are_regions == structures.are_regions, "the task does not say rightly whether labels may overlap")
    _require(task.inputs == structures.channels, "the channels of the task are not those of the network")
    single = (task.channel_start, task.single_component, task.surface_temperature)
    _require(single == (0, False, None), "the task has settings that only networks of our own have")
    _require(task.profile.grid == "spacing", "the profile of the task is no grid in millimetres")
    seen = task.profile.channel_count
    _require(seen in (1, task.input_count), "the profile of the task is one of other channels")


def _check_training(said: Mapping[str, Any]) -> None:
    """What a reference is fitted by; the rest is for people to read."""
    spacing_mm, names = said.get(IMAGE_SPACING, [1, 1, 1]), said.get(VALIDATION, [])
    low, high = _MILLIMETRES
    is_spacing = isinstance(spacing_mm, list) and len(spacing_mm) == 3
    _require(
        is_spacing and all(isinstance(edge, int | float) and low <= edge <= high for edge in spacing_mm),
        "the spacing of the images of the training is none",
    )
    _require(
        isinstance(names, list) and all(isinstance(name, str) for name in names), "the validated cases are no names"
    )


def expected_tensors(manifest: ImportedManifest) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of the weights that the manifest asks for, ``network.FOLD.NAME``; nothing is allocated."""
    from MultiTaskSegLib.runtime.nnunet.unet_weights import empty_network

    plan = manifest.plan
    network = empty_network(plan.network, len(plan.structures.channels), plan.structures.outputs)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return {
        f"network.{number}.{name}": shape
        for number in range(len(manifest.origin.folds))
        for name, shape in shapes.items()
    }


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ModelError(otherwise, remedy="Import the model again")
