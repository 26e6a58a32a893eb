"""From datasets to tasks: preprocessing profiles, head channels and patch sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import stems_of
from MultiTaskSegLib.runtime.model.training_data import ImageSizes
from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from trainer.config import TrainingConfig, require_whole_grid
from trainer.data.dataset import Dataset
from trainer.data.spread import evenly
from trainer.data.value_counts import ValueCounts
from trainer.layout.case import VERIFY, Case
from trainer.layout.region_labels import members_of
from trainer.origin.seen_sizes import SeenSizes

PROBED_CASES = 12
SHARED_SPACING_RATIO = 1.25
AIR_HU = -200.0


@dataclass(frozen=True)
class TaskPlan:
    """One dataset as a task of the network.

    Attributes:
        dataset: where the cases come from.
        profile: grid and intensity scale.
        start: first head channel; it is the task's background.
        label_names: names of the task's output labels 1, 2, ...
        label_values: for each output label, the dataset's values that it stands for; of regions these may overlap.
        patch_zyx: training patch on the profile's grid.
        absent: indices of tasks whose labels cannot occur in this dataset's images.
        sizes: of the images that were looked at.
        stem: which of the network's stems takes the images.
    """

    dataset: Dataset
    profile: Profile
    start: int
    label_names: tuple[str, ...]
    label_values: tuple[tuple[int, ...], ...]
    patch_zyx: Triple
    absent: tuple[int, ...]
    sizes: ImageSizes | None = None
    stem: int = 0

    @property
    def are_regions(self) -> bool:
        """Whether labels may overlap: each has an output of its own, and there is none for the background."""
        return self.dataset.are_regions

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset.name

    @property
    def channels(self) -> slice:
        """The task's head channels, background first; regions have no background."""
        return slice(self.start, self.start + (not self.are_regions) + len(self.label_names))


@dataclass(frozen=True)
class Plan:
    """Tasks and the network that serves them."""

    tasks: tuple[TaskPlan, ...]
    architecture: Architecture


@dataclass(frozen=True)
class _Probe:
    planar: bool
    spacing_zyx_mm: tuple[float, float, float]
    size_zyx: tuple[float, float, float]
    foreground_ranges: tuple[tuple[float, float] | None, ...]
    sizes: ImageSizes


def make_plan(datasets: Sequence[Dataset], config: TrainingConfig) -> Plan:
    """Look at some cases of every dataset and decide how to train on all of them together.

    Raises:
        UsageError: regions are to share one foreground with others.
        DatasetError: 2-D and 3-D datasets are mixed, labels do not fit their images, or a modality or region is not
            known.
        InputError: an image cannot be read.
        UsageError: grid or patch of the settings do not have three axes, or no patch is as small as they ask.
    """
    require_whole_grid(config)
    for dataset in datasets:
        dataset.require_known_region()
    probes = [_probe(dataset) for dataset in datasets]
    planar = _all_planar(datasets, probes)
    profiles = _profiles(datasets, probes, config)
    shared = config.head == "shared_foreground"
    names = [("foreground",) if shared else tuple(d.labels.values()) for d in datasets]
    if shared and any(d.are_regions for d in datasets):
        raise UsageError("regions cannot share one foreground", remedy='Use head = "per_task"')
    values = [(tuple(d.labels),) if shared else tuple(members_of(d.labels, v) for v in d.labels) for d in datasets]
    outputs = [len(n) + (not d.are_regions) for n, d in zip(names, datasets, strict=True)]
    starts = [0 if shared else sum(outputs[:i]) for i in range(len(datasets))]
    stems = stems_of([d.inputs for d in datasets])
    architecture = _architecture(planar, config, 2 if shared else sum(outputs), stems)
    tasks = tuple(
        TaskPlan(
            dataset,
            profiles[i],
            starts[i],
            names[i],
            values[i],
            _patch(probes[i], profiles[i], architecture.total_stride, config),
            () if shared else tuple(j for j, o in enumerate(datasets) if not dataset.may_share_structures(o)),
            probes[i].sizes,
            stems.index(dataset.inputs),
        )
        for i, dataset in enumerate(datasets)
    )
    return Plan(tasks, architecture)


def _all_planar(datasets: Sequence[Dataset], probes: Sequence[_Probe]) -> bool:
    planar = [d.name for d, p in zip(datasets, probes, strict=True) if p.planar]
    if planar and len(planar) != len(datasets):
        raise DatasetError(
            f"2-D and 3-D datasets are mixed ({', '.join(planar)} are 2-D)", remedy="Train one model for each"
        )
    return bool(planar)


def _probe(dataset: Dataset) -> _Probe:
    looks = _Looks(dataset)
    for case in evenly(dataset.cases, PROBED_CASES):
        looks.at(case)
    return looks.probe()


class _Looks:
    """What is seen of the cases of a dataset; of each image no more is kept than that."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._planar: list[bool] = []
        self._images = SeenSizes()
        self._spacings: list[tuple[float, ...]] = []
        self._sizes: list[list[int]] = []
        self._smallest: dict[int, list[float]] = {}
        self._values: dict[int, ValueCounts] = {}

    def at(self, case: Case) -> None:
        """Look at a case.

        Raises:
            DatasetError: image and label differ in shape.
            InputError: a file cannot be read.
        """
        volume = case.read_image()
        order = canonical_reorientation(volume)
        self._images.at(volume)
        self._planar.append(volume.is_planar)
        self._spacings.append(order.spacing_zyx_mm(volume))
        self._sizes.append([volume.shape[axis] for axis in order.axes])
        for number, family in enumerate(self._dataset.channel_families):
            if family == "CT":
                voxels = volume.channels[number]
                self._smallest.setdefault(number, []).append(float(voxels.min()))
                self._values.setdefault(number, ValueCounts()).add(self._telling(case, volume, voxels))

    def probe(self) -> _Probe:
        """After all cases."""
        return _Probe(
            all(self._planar),
            _triple(np.median(self._spacings, axis=0)),
            _triple(np.median(self._sizes, axis=0)),
            tuple(self._foreground_range(number) for number in range(max(1, len(self._dataset.inputs)))),
            self._images.sizes(),
        )

    def _telling(self, case: Case, volume: Volume, voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of a channel in what is labelled; without labels everything that is not air takes their place."""
        if not self._dataset.labels:
            return voxels[voxels > AIR_HU]
        labels, _ = case.read_labels_on(volume)
        return voxels[labels > 0]

    def _foreground_range(self, channel: int) -> tuple[float, float] | None:
        """For CT in Hounsfield units: the label's 0.5 to 99.5 % values, widened by half. None for other scales.

        Follows the CT scheme of nnU-Net (Isensee et al. 2021): the unit is absolute, so the clip is too.
        """
        values = self._values.get(channel)
        if values is None or min(self._smallest[channel]) > AIR_HU:
            return None
        if not values.total:
            raise DatasetError(
                "no voxel is labelled in the cases looked at", file=self._dataset.directory, remedy=VERIFY
            )
        low, high = (values.percentile(share) for share in (0.5, 99.5))
        margin = 0.5 * (high - low)
        return float(np.round(low - margin)), float(np.round(high + margin))


def _profiles(datasets: Sequence[Dataset], probes: Sequence[_Probe], config: TrainingConfig) -> list[Profile]:
    """One profile per dataset; datasets with close spacing and the same intensity rule get the same one."""
    made: list[Profile] = []
    for dataset, probe in zip(datasets, probes, strict=True):
        profile = _profile(dataset, probe, config)
        made.append(next((p for p in made if _compatible(p, profile)), profile))
    return made


def _profile(dataset: Dataset, probe: _Probe, config: TrainingConfig) -> Profile:
    intensity, *others = (
        Intensity("percentile", 1.0, 99.5) if own is None else Intensity("range", *own)
        for own in probe.foreground_ranges
    )
    suffix = f"_{len(others) + 1}_channels" if others else ""
    if any(own is not None for own in probe.foreground_ranges):
        suffix += f"_{dataset.name}"
    further = tuple(others)
    if probe.planar:
        name = f"fit_{config.fit_matrix}{suffix}"
        return Profile(name, "fit", intensity, matrix=config.fit_matrix, further=further)
    z, y, x = (float(mm) for mm in config.spacing_mm) if config.spacing_mm else probe.spacing_zyx_mm
    name = f"grid_{z:.2f}x{y:.2f}x{x:.2f}mm{suffix}"
    return Profile(name, "spacing", intensity, spacing_zyx_mm=(z, y, x), further=further)


def _compatible(a: Profile, b: Profile) -> bool:
    if a.intensities != b.intensities or a.grid != b.grid:
        return False
    if a.spacing_zyx_mm is None or b.spacing_zyx_mm is None:
        return a.matrix == b.matrix
    ratio = np.asarray(a.spacing_zyx_mm) / np.asarray(b.spacing_zyx_mm)
    return bool(np.maximum(ratio, 1 / ratio).max() <= SHARED_SPACING_RATIO)


def _architecture(planar: bool, config: TrainingConfig, outputs: int, lists: Sequence[tuple[str, ...]]) -> Architecture:
    channels = config.channels or ((24, 48, 96, 160, 192) if planar else (16, 32, 64, 128, 128))
    levels = len(channels)
    stems = tuple(max(1, len(names)) for names in lists)
    if planar:
        return Architecture(channels, ((1, 2, 2),) * (levels - 1), ((1, 3, 3),) * levels, outputs, stems)
    # Thick slices are common: the first step halves the plane only, and from the fourth level on only the plane is
    # widened, because a few thick slices already span the body while an organ is told by its place in the plane.
    coarse = max(0, levels - 4)
    strides: tuple[Triple, ...] = ((1, 2, 2),) + ((2, 2, 2),) * (levels - 2 - coarse) + ((1, 2, 2),) * coarse
    return Architecture(channels, strides, ((3, 3, 3),) * (levels - coarse) + ((1, 3, 3),) * coarse, outputs, stems)


def _patch(probe: _Probe, profile: Profile, stride: Triple, config: TrainingConfig) -> Triple:
    """Median image size, rounded up to the stride; the longest side (in mm) shrinks until the limit holds."""
    if profile.matrix is not None:
        side = -(-profile.matrix // stride[1]) * stride[1]
        return 1, side, side
    assert profile.spacing_zyx_mm is not None
    if config.patch_zyx:
        z, y, x = (ceil(n / s) * s for n, s in zip(config.patch_zyx, stride, strict=True))
        return z, y, x
    if prod(stride) > config.patch_voxels:
        raise UsageError(
            f"patch_voxels is {config.patch_voxels}, and the smallest patch has {prod(stride)} voxels",
            remedy="Use more, or fewer levels of channels",
        )
    spacing = np.asarray(profile.spacing_zyx_mm)
    size = np.asarray(probe.size_zyx) * np.asarray(probe.spacing_zyx_mm) / spacing
    # Rounded up: a small image must be trained with the padding that it gets at inference, because at the coarsest
    # level every cell of it sees the border.
    cells = [max(1, ceil(n / s - 1e-6)) for n, s in zip(size.tolist(), stride, strict=True)]
    while prod(c * s for c, s in zip(cells, stride, strict=True)) > config.patch_voxels:
        extents = [c * s * mm if c > 1 else 0.0 for c, s, mm in zip(cells, stride, spacing, strict=True)]
        cells[int(np.argmax(extents))] -= 1
    z, y, x = (c * s for c, s in zip(cells, stride, strict=True))
    return z, y, x


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    z, y, x = (float(v) for v in values)
    return z, y, x
