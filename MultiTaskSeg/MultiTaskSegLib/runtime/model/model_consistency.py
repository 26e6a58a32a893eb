"""Does a model contradict itself? A digest proves that a file is whole, not that its author made sense."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.model.manifest import Manifest, OodInfo, TaskInfo, needed_format
from MultiTaskSegLib.runtime.model.manifest_bounds import MAX_PICTURE_VALUES, check_bounds
from MultiTaskSegLib.runtime.model.precision_info import contradiction
from MultiTaskSegLib.runtime.model.structure import to_plain
from MultiTaskSegLib.runtime.network.architecture import Architecture
from MultiTaskSegLib.runtime.ood.cell_features import FEATURES
from MultiTaskSegLib.runtime.ood.cell_reference import PARTS, PREFIX, TAIL_SHARES
from MultiTaskSegLib.runtime.ood.image_statistics import statistic_length
from MultiTaskSegLib.runtime.ood.signature import IMAGE, SignatureSpec
from MultiTaskSegLib.runtime.quality.quality_info import QualityInfo

# A narrower range would divide by nothing.
SMALLEST_RANGE = 1e-6

_FLOATS = (torch.float16, torch.float32, torch.float64)


def check_manifest(manifest: Manifest) -> None:
    """Check what the types of the manifest's fields cannot express.

    Raises:
        ModelError: a number is out of bounds, or tasks, labels, profiles or channels exclude each other.
    """
    check_bounds(to_plain(manifest))
    _require(bool(manifest.tasks), "there is no task")
    names = [task.name for task in manifest.tasks]
    _require(len(set(names)) == len(names) and all(names), "two tasks have the same name, or one has none")
    _require(len({task.profile.grid for task in manifest.tasks}) == 1, "2-D and 3-D tasks are mixed")
    version, needed = manifest.format_version, needed_format(manifest.tasks)
    _require(version >= needed, f"format version {version} has no several channels or regions")
    wanted = tuple(max(1, len(names)) for names in manifest.stems)
    _require(manifest.architecture.stems == wanted, "the stems of the network do not fit the channels of the tasks")
    labelled = {bool(task.labels) for task in manifest.tasks}
    _require(len(labelled) == 1, "some tasks have labels and others none")
    seen: list[set[int]] = []
    kinds: list[tuple[set[int], bool]] = []
    for task in manifest.tasks:
        _check_task(task, manifest.architecture)
        channels = set(range(task.channels.start, task.channels.stop))
        _require(
            task.channels.start >= 0 and task.channels.stop <= manifest.architecture.outputs,
            f"task {task.name} lies outside the network's channels",
        )
        is_shared = any(other == channels and regions != task.are_regions for other, regions in kinds)
        _require(not is_shared, f"task {task.name} has regions on channels that another uses for labels")
        kinds.append((channels, task.are_regions))
        # All tasks of a shared foreground head have the same channels; a part of another's would be a mistake.
        overlapping = [other for other in seen if other & channels and other != channels]
        _require(not overlapping, f"task {task.name} shares channels with another")
        seen.append(channels)
    ood = manifest.ood
    _require(
        bool(ood.layers) and set(ood.layers) <= set(manifest.architecture.layer_names),
        "the signature uses layers that the network does not have",
    )
    _check_limits(ood, len(manifest.tasks))
    check_quality(manifest.quality, len(manifest.tasks))
    if manifest.precision is not None:
        labelled_tasks = [task.name for task in manifest.tasks if task.labels]
        otherwise = contradiction(manifest.precision, labelled_tasks)
        _require(not otherwise, otherwise)


def check_quality(quality: QualityInfo | None, tasks: int) -> None:
    """Check that what is known of the quality of results fits so many tasks.

    Raises:
        ModelError: it is of other tasks, or its numbers do not fit each other.
    """
    if quality is None:
        return
    _require(len(quality.tasks) == tasks, "the quality of results does not fit the tasks")
    for number, known in enumerate(quality.tasks, start=1):
        _require(known.is_possible, f"the quality of results of task {number} is impossible")


def _check_limits(ood: OodInfo, tasks: int) -> None:
    """Every task has a limit of its own, or none has."""
    expected = 0 if ood.tail_share is None else tasks
    _require(len(ood.score_laws) == expected, "the laws of the scores do not fit the tasks")
    _require(len(ood.false_alarm_intervals) in (0, tasks), "the intervals of the false alarms do not fit the tasks")


def check_tensors(manifest: Manifest, tensors: Mapping[str, Tensor]) -> None:
    """Check types and shapes of all tensors, and that the spectral reference fits the manifest.

    Raises:
        ModelError: a tensor is missing or has a type, shape or range that it cannot have.
    """
    for name, tensor in tensors.items():
        _require(tensor.dtype in (*_FLOATS, torch.int64), f"tensor {name} has the type {tensor.dtype}")
        _require(name.startswith(("network.", "reference.")), f"tensor {name} is unknown")
        _require(not name.startswith("network.") or tensor.dtype in _FLOATS, f"tensor {name} has whole numbers")
    tasks = _whole(tensors, "reference.tasks")
    scores = _real(tensors, "reference.calibration_scores")
    _require(
        scores.dim() == 1 and scores.numel() > 0 and bool((scores >= 0).all()), "calibration scores are impossible"
    )
    for layer in manifest.ood.layers:
        _check_layer(manifest, tensors, layer, len(tasks))
    spec = manifest.ood.spec
    for block in spec.blocks:
        _check_block(manifest, tensors, block, spec)
    _check_shrinkages(manifest, tensors, spec)
    if spec.uses_image:
        _check_statistics(manifest, tensors, spec, len(tasks))
    _check_cells(manifest, tensors)


def _check_layer(manifest: Manifest, tensors: Mapping[str, Tensor], layer: str, images: int) -> None:
    values = _real(tensors, f"reference.{layer}.singular_values")
    channels = manifest.architecture.channels[int(layer[-1])]
    fits = tuple(values.shape) == (images, channels) and bool((values >= 0).all())
    _require(fits, f"the singular values of {layer} are impossible")
    voxels = _whole(tensors, f"reference.{layer}.voxels")
    _require(
        tuple(voxels.shape) == (images,) and bool((voxels > 0).all()), f"the voxel counts of {layer} are impossible"
    )
    means = _real(tensors, f"reference.{layer}.channel_means")
    _require(tuple(means.shape) == (images, channels), f"the channel means of {layer} are impossible")


def _check_statistics(manifest: Manifest, tensors: Mapping[str, Tensor], spec: SignatureSpec, images: int) -> None:
    for name in spec.statistics:
        values = _real(tensors, f"reference.{IMAGE}.{name}.values")
        length = statistic_length(name, manifest.architecture.is_planar, max(manifest.architecture.stems))
        _require(tuple(values.shape) == (images, length), f"the {name} of the training images is impossible")


def _check_block(manifest: Manifest, tensors: Mapping[str, Tensor], block: str, spec: SignatureSpec) -> None:
    scale = _real(tensors, f"reference.{block}.scale")
    fits = tuple(scale.shape) == (len(manifest.tasks),) and bool((scale > 0).all())
    _require(fits, f"the distance scales of {block} are impossible")
    if spec.is_whitened:
        projection = _real(tensors, f"reference.{block}.projection")
        name, _, part = block.partition(".")
        architecture = manifest.architecture
        length = (
            statistic_length(part, architecture.is_planar, max(architecture.stems))
            if name == IMAGE
            else architecture.channels[int(name[-1])]
        )
        _require(tuple(projection.shape) == (length, length), f"the projection of {block} is impossible")


def _check_shrinkages(manifest: Manifest, tensors: Mapping[str, Tensor], spec: SignatureSpec) -> None:
    """Earlier files have none: there one metric served all tasks. Some without the others would mix the two."""
    stored = {name for name in tensors if name.startswith("reference.") and name.endswith(".shrinkage")}
    if not stored:
        return
    expected = {f"reference.{block}.shrinkage" for block in spec.blocks} if spec.is_whitened else set()
    _require(stored == expected, "the shrinkages do not fit the signature")
    for name in sorted(stored):
        values = _real(tensors, name)
        fits = tuple(values.shape) == (len(manifest.tasks),) and bool(((values >= 0) & (values <= 1)).all())
        _require(fits, f"{name} is impossible")


def _check_cells(manifest: Manifest, tensors: Mapping[str, Tensor]) -> None:
    """The memories of cells are optional, but not a part of them."""
    stored = {name for name in tensors if name.startswith(PREFIX)}
    if not stored:
        return
    expected = {f"{PREFIX}{task}.{part}" for task in range(len(manifest.tasks)) for part in PARTS}
    _require(stored == expected, "the memories of cells do not fit the tasks")
    for index, task in enumerate(manifest.tasks):
        mean, projection, memory, units, quantiles = (_real(tensors, f"{PREFIX}{index}.{part}") for part in PARTS)
        fits = (
            tuple(mean.shape) == (FEATURES * task.input_count,)
            and projection.dim() == memory.dim() == 2
            and projection.shape[0] == FEATURES * task.input_count
            and memory.shape[1] == projection.shape[1]
            and memory.numel() > 0
            and tuple(units.shape) == (memory.shape[0],)
            and tuple(quantiles.shape) == (len(TAIL_SHARES),)
        )
        _require(fits, f"the memory of cells of {task.name} is impossible")
        ordered = bool((units > 0).all()) and bool((quantiles[1:] >= quantiles[:-1]).all())
        _require(ordered, f"the units of cells of {task.name} are impossible")


def _check_task(task: TaskInfo, architecture: Architecture) -> None:
    values = [label.value for label in task.labels]
    _require(len(set(values)) == len(values), f"task {task.name} has one label value twice")
    _check_profile(task.profile)
    names, count = task.inputs, task.profile.channel_count
    _require(
        len(set(names)) == len(names) and all(names), f"task {task.name} has two channels of one name, or one without"
    )
    _require(len(names) != 1 and count == task.input_count, f"the channels of task {task.name} do not fit its profile")
    _require(not (task.are_regions and task.single_component), f"task {task.name} keeps one piece of several regions")
    largest = max(
        channels * (task.profile.matrix or 0) ** 2 / prod(stride)
        for channels, stride in zip(architecture.channels, architecture.level_strides, strict=True)
    )
    _require(
        largest <= MAX_PICTURE_VALUES,
        f"tasks of {task.profile.matrix} pixels make maps of {largest:.0f} values, more than {MAX_PICTURE_VALUES}",
    )


def _check_profile(profile: Profile) -> None:
    for intensity in profile.intensities:
        low, high = intensity.low, intensity.high
        in_percent = intensity.method != "percentile" or (low >= 0 and high <= 100)
        _require(
            high - low >= SMALLEST_RANGE and in_percent, f"the intensity range of profile {profile.name} is impossible"
        )


def _real(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    _require(name in tensors and tensors[name].dtype in _FLOATS, f"tensor {name} is missing or of the wrong type")
    return tensors[name]


def _whole(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    fits = name in tensors and tensors[name].dtype == torch.int64 and tensors[name].dim() == 1
    _require(fits, f"tensor {name} is missing or of the wrong type")
    return tensors[name]


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ModelError(otherwise, remedy="Get the model file again")
