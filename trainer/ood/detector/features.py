"""What the benchmark keeps of one image: everything that any detector looks at, from one pass of the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork, Triple
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.network_stream import SLAB_VOXELS, NetworkStream
from MultiTaskSegLib.runtime.network.parts import strips
from MultiTaskSegLib.runtime.network.tiling import Tile
from MultiTaskSegLib.runtime.ood.image_statistics import ImageStatistics, image_statistics
from MultiTaskSegLib.runtime.ood.row_lattice import lattice_for
from MultiTaskSegLib.runtime.ood.signature import IMAGE, Observed
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from trainer.ood.detector.output_statistics import OutputStatistics

HISTOGRAM_BINS = 150
POOLED_GRID = (2, 4, 4)
INPUT_LAYER = "input"


@dataclass(frozen=True)
class LayerMoments:
    """First and second moments of a feature map.

    Attributes:
        gram: float64 ``(C, C)``, F^T F of the voxels x channels matrix F.
        sums: float64 ``(C,)``, column sums of F.
        voxels: number of rows of F. Of large maps both are estimated from the rows that the check looks at.
    """

    gram: NDArray[np.float64]
    sums: NDArray[np.float64]
    voxels: int

    @property
    def means(self) -> NDArray[np.float64]:
        """Channel means ``(C,)``."""
        return self.sums / self.voxels

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance ``(C, C)`` of the channels over voxels."""
        return self.gram / self.voxels - np.outer(self.means, self.means)

    def spectrum(self) -> LayerSpectrum:
        """Singular values of F."""
        return self._spectrum

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What of it is stored, by name."""
        return {"gram": self.gram, "sums": self.sums, "voxels": np.array(self.voxels)}

    @cached_property
    def _spectrum(self) -> LayerSpectrum:
        # Every spectral detector asks for it.
        eigenvalues = np.linalg.eigvalsh(self.gram)[::-1].clip(min=0)
        return LayerSpectrum(np.sqrt(eigenvalues), self.voxels, self.means)


@dataclass(frozen=True)
class KeptSpectrum:
    """Of a feature map that came patch by patch: what the check of a model file keeps of it, and nothing else.

    Attributes:
        kept: singular values and channel means.
    """

    kept: LayerSpectrum

    @property
    def means(self) -> NDArray[np.float64]:
        """Channel means ``(C,)``."""
        return self.kept.channel_means

    def spectrum(self) -> LayerSpectrum:
        """Singular values of the map."""
        return self.kept

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What of it is stored, by name."""
        own = self.kept
        return {"values": own.singular_values, "means": own.channel_means, "voxels": np.array(own.voxels)}


@dataclass(frozen=True)
class ImageFeatures:
    """One image under one preprocessing profile.

    Attributes:
        layers: moments by layer, or spectra where the network runs patch by patch; ``input`` holds the 3 x 3 x 3 (2-D:
            5 x 5) neighbourhoods of the prepared image.
        image: texture, layout and shading of the prepared image.
        pooled: deepest feature map averaged to ``(C, 2, 4, 4)``, flat; empty where it is never there as a whole.
        histogram: share of the prepared voxels in each of 150 bins over [0, 1].
        outputs: by task name.
    """

    layers: Mapping[str, LayerMoments | KeptSpectrum]
    image: ImageStatistics
    pooled: NDArray[np.float32]
    histogram: NDArray[np.float64]
    outputs: Mapping[str, OutputStatistics]

    def observed(self, layers: Iterable[str]) -> Observed:
        """What signatures are made of: the spectra of these layers, and the image's own statistics."""
        return {IMAGE: self.image, **{layer: self.layers[layer].spectrum() for layer in layers}}


def extract_features(
    network: SegmentationNetwork,
    voxels: NDArray[np.float32],
    tasks: tuple[TaskInfo, ...],
    device: torch.device,
    slab_voxels: int = SLAB_VOXELS,
) -> tuple[ImageFeatures, dict[str, NDArray[np.uint8]]]:
    """Pass prepared voxels ``(Z, Y, X)`` through the network once and keep what detectors need.

    Returns:
        The features, and by task name the most likely output labels ``(Z, Y, X)`` on the network's grid.
    """
    architecture = network.architecture
    z, y, x = voxels.shape
    sizes: Triple = (z, y, x)
    backend = TorchBackend(network, device)
    stream = NetworkStream(backend, architecture, voxels, slab_voxels)
    (whole,) = strips(stream.padded, None, 0)
    collector = _MapCollector(architecture, sizes, whole)
    outputs = {task.name: OutputStatistics() for task in tasks}
    labels = {task.name: np.zeros(sizes, dtype=np.uint8) for task in tasks}
    for window, first, counted in with_neighbours(stream.decode(observe=collector.observe)):
        start, stop = first + counted.start, min(first + counted.stop, z)
        if stop <= start:
            continue
        core = (slice(counted.start, counted.start + stop - start), slice(0, y), slice(0, x))
        for task in tasks:
            own = backend.head(window, task.channels)
            outputs[task.name] = outputs[task.name].plus(own, core)
            found = own[_all_channels(core)].argmax(dim=0)
            labels[task.name][start:stop] = found.to(torch.uint8).cpu().numpy()
    moments, bottom = collector.moments, collector.bottom
    layers = {INPUT_LAYER: neighbourhood_moments(voxels)} | {n: m.result() for n, m in moments.items()}
    pooled = functional.adaptive_avg_pool3d(torch.cat(bottom, dim=1)[None], POOLED_GRID)[0].reshape(-1).numpy()
    counts = np.histogram(voxels, bins=HISTOGRAM_BINS, range=(0.0, 1.0))[0]
    statistics = image_statistics(voxels, architecture.is_planar)
    return ImageFeatures(layers, statistics, pooled, counts / voxels.size, outputs), labels


@torch.inference_mode()
def predicted_labels(
    network: SegmentationNetwork,
    voxels: NDArray[np.float32],
    channels: slice,
    device: torch.device,
    slab_voxels: int = SLAB_VOXELS,
) -> NDArray[np.uint8]:
    """Most likely label ``(Z, Y, X)`` of prepared voxels ``(Z, Y, X)``; logits are never all in memory.

    Args:
        network: on ``device``.
        channels: of the task in the network's output, background first.
    """
    z, y, x = voxels.shape
    backend = TorchBackend(network, device)
    labels = np.empty((z, y, x), dtype=np.uint8)
    first = 0
    for slab in NetworkStream(backend, network.architecture, voxels, slab_voxels).decode():
        logits = backend.head(slab, channels)[:, : max(0, z - first), :y, :x]
        labels[first : first + logits.shape[1]] = logits.argmax(dim=0).to(torch.uint8).cpu().numpy()
        first += logits.shape[1]
    return labels


class _MapCollector:
    """Moments of every layer, and the deepest map as a whole, from slabs in the order of z."""

    def __init__(self, architecture: Architecture, sizes: Triple, whole: Tile) -> None:
        names = architecture.layer_names
        self.moments = {name: _Moments() for name in names}
        self.bottom: list[Tensor] = []
        self._deepest = f"encoder{len(architecture.channels) - 1}"
        self._cores = {name: whole.core_in_tile(architecture.layer_stride(name), sizes) for name in names}
        self._seen = dict.fromkeys(names, 0)
        self._lattices = {
            name: lattice_for(_stops(self._cores[name]), architecture.channels[int(name[-1])]) for name in names
        }

    def observe(self, name: str, slab: Tensor) -> None:
        """Take what of a slab ``(1, C, z, Y, X)`` is no padding."""
        z, y, x = self._cores[name]
        first = self._seen[name]
        core = slab[0, :, : max(0, z.stop - first), y, x]
        self._seen[name] += slab.shape[2]
        if core.shape[1]:
            rows = self._lattices[name].rows(core, (first, 0, 0))
            self.moments[name].add(rows.T, core[0].numel())
            if name == self._deepest:
                self.bottom.append(core.float().cpu())


def _stops(core: tuple[slice, ...]) -> Triple:
    z, y, x = (int(part.stop) for part in core)
    return z, y, x


def with_neighbours(slabs: Iterable[Tensor]) -> Iterator[tuple[Tensor, int, slice]]:
    """Slabs with a slice of their neighbours on either side.

    Args:
        slabs: ``(1, C, z, Y, X)`` one after the other along z.

    Yields:
        A slab with its neighbours, the number of its first slice in the image, and which of its slices are its own:
        these follow one another without gap or overlap.
    """
    pending: Tensor | None = None
    first = context = 0
    for slab in slabs:
        joined = slab if pending is None else torch.cat((pending, slab), dim=2)
        depth = joined.shape[2]
        if depth - 1 > context:
            yield joined, first, slice(context, depth - 1)
            context = 1
            first += depth - 2
            joined = joined[:, :, -2:]
        pending = joined.clone()
    if pending is not None:
        yield pending, first, slice(context, pending.shape[2])


def _all_channels(voxels: tuple[slice, ...], *batch: int) -> tuple[int | slice, ...]:
    return (*batch, slice(None), *voxels)


def neighbourhood_moments(voxels: NDArray[np.float32]) -> LayerMoments:
    """Moments of all full neighbourhoods of the prepared image itself, a signature without any network."""
    image = torch.from_numpy(np.ascontiguousarray(voxels))
    sides = (1, 5, 5) if voxels.shape[0] == 1 else (3, 3, 3)
    sides = tuple(min(side, n) for side, n in zip(sides, voxels.shape, strict=True))
    moments = _Moments()
    for z in range(image.shape[0] - sides[0] + 1):
        slab = image[z : z + sides[0]]
        columns = slab.unfold(1, sides[1], 1).unfold(2, sides[2], 1)
        moments.add(columns.permute(0, 3, 4, 1, 2).reshape(-1, columns.shape[1], columns.shape[2]))
    return moments.result()


class _Moments:
    def __init__(self) -> None:
        self.gram: Tensor | float = 0.0
        self.sums: Tensor | float = 0.0
        self.rows = self.voxels = 0

    def add(self, features: Tensor, voxels: int | None = None) -> None:
        """Take ``(C, ...)``, which stand for ``voxels`` voxels; by default for as many as they are."""
        rows = features.reshape(features.shape[0], -1)
        for block in rows.split(65_536, dim=1):
            exact = block.double()
            self.gram = self.gram + (exact @ exact.T).cpu()
            self.sums = self.sums + exact.sum(dim=1).cpu()
        self.rows += rows.shape[1]
        self.voxels += rows.shape[1] if voxels is None else voxels

    def result(self) -> LayerMoments:
        """What was added."""
        scale = self.voxels / self.rows
        return LayerMoments(np.asarray(self.gram * scale), np.asarray(self.sums * scale), self.voxels)


def save_features(path: Path, features: ImageFeatures) -> None:
    """Write the features to an ``.npz`` file, whole or not at all."""
    arrays: dict[str, NDArray[np.generic]] = {"pooled": features.pooled, "histogram": features.histogram}
    for name, layer in features.layers.items():
        arrays |= {f"layer/{name}/{part}": values for part, values in layer.arrays().items()}
    for name, values in features.image.values.items():
        arrays[f"image/{name}"] = values
    for name, output in features.outputs.items():
        arrays[f"output/{name}"] = output.as_array()
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy's stubs take every key for allow_pickle


def load_features(path: Path) -> ImageFeatures:
    """The inverse of `save_features`."""
    with np.load(path) as archive:
        layers = [key.split("/")[1] for key in archive.files if key.endswith("/voxels")]
        statistics = [key.removeprefix("image/") for key in archive.files if key.startswith("image/")]
        outputs = [key.removeprefix("output/") for key in archive.files if key.startswith("output/")]
        return ImageFeatures(
            {name: _loaded_layer(archive, f"layer/{name}") for name in layers},
            ImageStatistics({name: archive[f"image/{name}"] for name in statistics}),
            archive["pooled"],
            archive["histogram"],
            {n: OutputStatistics.from_array(archive[f"output/{n}"]) for n in outputs},
        )


def _loaded_layer(archive: Mapping[str, NDArray[np.float64]], place: str) -> LayerMoments | KeptSpectrum:
    voxels = int(archive[f"{place}/voxels"])
    if f"{place}/gram" in archive:
        return LayerMoments(archive[f"{place}/gram"], archive[f"{place}/sums"], voxels)
    return KeptSpectrum(LayerSpectrum(archive[f"{place}/values"], voxels, archive[f"{place}/means"]))
