"""Over one prepared image: spectra first, then the labels of one task; in smaller parts when memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import NOT_FINITE, ModelError, MtsError, ResourceError
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream, Running
from MultiTaskSegLib.runtime.machine.memory_shortage import REMEDY, TOO_LITTLE, is_card_short, is_out_of_memory
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.network.backend import Backend
from MultiTaskSegLib.runtime.network.network_stream import Kept, NetworkStream, Observe, padded_shape
from MultiTaskSegLib.runtime.network.parts import Parts, strips
from MultiTaskSegLib.runtime.network.tiling import Tile
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum, SpectrumCollector
from MultiTaskSegLib.runtime.prediction.pass_parts import (
    checking_context,
    checking_ladder,
    encoder_stages,
    labelling_context,
    labelling_ladder,
)

IN_PARTS = "memory was short, so the image was processed in smaller parts, which takes longer"

Progress = Callable[[float], None]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Wanted:
    """Labels that are wanted.

    Attributes:
        task: gives head channels and temperatures.
        shape: ``(Z, Y, X)`` of the image in canonical order: its own grid.
    """

    task: TaskInfo
    shape: Triple


@dataclass
class Encoded:
    """What a pass leaves.

    Attributes:
        spectra: by layer.
        kept: encoder maps for `NetworkPass.decode`, which uses them up.
        labels: of the task that was known beforehand.
    """

    spectra: Mapping[str, LayerSpectrum]
    kept: Kept = field(default_factory=dict)
    labels: Running | None = None


@dataclass(frozen=True)
class _Image:
    """A prepared image, and which of the network's stems takes it."""

    voxels: NDArray[np.float32]
    stem: int


@dataclass(frozen=True)
class _Strip:
    """One strip of rows on its way, or the whole image.

    Attributes:
        stream: over its rows and those around it.
        tile: which part of the image it is.
        progress: told the share of the strip that is done.
    """

    stream: NetworkStream
    tile: Tile
    progress: Progress


class NetworkPass:
    """Runs the network over prepared images and steps down when memory is short.

    Args:
        backend: computes. Where it fails, plain torch takes over; where memory runs out, smaller parts are tried.
        architecture: of the network.
        spec: of the signature.
        memory_step: how many steps to go down the ladder of parts before the first try.
        replaced: what is told of a back end that failed before, so that ``backend`` takes its place.

    Attributes:
        backend: the one that computes now.
        replaced: the same, and of one that has failed since.
        shortages: what is told of a lack of memory.
    """

    def __init__(
        self,
        backend: Backend,
        architecture: Architecture,
        spec: SignatureSpec,
        memory_step: int = 0,
        replaced: Sequence[str] = (),
    ) -> None:
        self.backend, self._architecture, self._spec = backend, architecture, spec
        self._memory_step = memory_step
        self.replaced, self.shortages = list(replaced), list[str]()

    @property
    def notes(self) -> list[str]:
        """What the user should know about what was done in another way than planned."""
        return [*self.replaced, *self.shortages]

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.backend.device

    def encode(
        self,
        voxels: NDArray[np.float32],
        progress: Progress,
        *,
        keep: bool = False,
        wanted: Wanted | None = None,
        stem: int = 0,
    ) -> Encoded:
        """Spectra of prepared voxels ``(Z, Y, X)``, of several channels ``(C, Z, Y, X)``.

        Args:
            voxels: prepared image.
            progress: told the share that is done.
            keep: whether `decode` follows, so that maps it can start from are kept.
            wanted: labels of a task that is known beforehand. The pass then goes on to its head at once, which keeps
                no map for later and computes none twice.
            stem: which of the network's stems takes the image.

        Raises:
            ResourceError: memory runs out.
        """
        grid, layers, architecture = _sizes(voxels), self._spec.layers, self._architecture
        stages = encoder_stages(layers)
        if wanted:
            ladder = labelling_ladder(architecture, grid, wanted.shape, self.device, keep=False)
            context = labelling_context(architecture, grid, wanted.shape)
        else:
            ladder = checking_ladder(architecture, grid, layers, self.device, keep=keep)
            context = checking_context(architecture, layers)

        def run(backend: Backend, parts: Parts) -> Encoded:
            """With parts of this size."""
            collector = SpectrumCollector(architecture, layers, grid, self._spec.floor)
            labels = LabelStream(wanted.task, grid, wanted.shape) if wanted else None
            kept: Kept = {}
            image = _Image(voxels, stem)
            for strip in self._strips(backend, image, parts, context, progress, is_told=wanted is None):
                observe = collector.watch(strip.tile)
                if wanted and labels:
                    _label(backend, strip, wanted.task, labels, observe=observe)
                elif stages is None:
                    for _ in strip.stream.decode(observe=observe):
                        pass
                else:
                    kept = strip.stream.encode(stages, observe, parts.keep_bytes)
            if labels:
                labels.running.require_finite()
            return Encoded(collector.spectra(), kept, labels.running if labels else None)

        return self._with_less_memory(ladder, run)

    def decode(
        self, voxels: NDArray[np.float32], wanted: Wanted, encoded: Encoded, progress: Progress, *, stem: int = 0
    ) -> Running:
        """Labels of one task on the image's own grid.

        Args:
            voxels: prepared image ``(Z, Y, X)``, of several channels ``(C, Z, Y, X)``.
            wanted: which labels.
            encoded: from `encode` of the same voxels; what it kept is used up.
            progress: told the share that is done.
            stem: which of the network's stems takes the image.

        Raises:
            ResourceError: memory runs out.
        """
        if encoded.labels is not None:
            return encoded.labels
        grid = _sizes(voxels)
        ladder = labelling_ladder(self._architecture, grid, wanted.shape, self.device, keep=True)
        context = labelling_context(self._architecture, grid, wanted.shape)

        def run(backend: Backend, parts: Parts) -> Running:
            """With parts of this size."""
            # Used up at once: after a failure everything is computed again.
            kept, encoded.kept = encoded.kept if parts.keep_bytes else {}, {}
            labels = LabelStream(wanted.task, grid, wanted.shape)
            for strip in self._strips(backend, _Image(voxels, stem), parts, context, progress, is_told=False):
                _label(backend, strip, wanted.task, labels, kept=kept)
            labels.running.require_finite()
            return labels.running

        return self._with_less_memory(ladder, run)

    def _strips(
        self,
        backend: Backend,
        image: _Image,
        parts: Parts,
        context_rows: int,
        progress: Progress,
        *,
        is_told: bool,
    ) -> Iterator[_Strip]:
        """The image in strips of rows, of which only one is worked on at a time.

        Args:
            backend, image, parts: what computes, the prepared image, and how much of it at a time.
            context_rows: around a strip.
            progress: told the share of the image that is done.
            is_told: whether the stream tells it, as it takes the image in; else `_Strip.progress` is for the caller.
        """
        tiles = strips(padded_shape(self._architecture, _sizes(image.voxels)), parts.rows, context_rows)
        for number, tile in enumerate(tiles):
            part = _part(progress, number, len(tiles))
            rows = image.voxels[..., tile.source_slices()[1], :]
            slab_voxels = parts.slices * prod(stop - start for start, stop in tile.source[1:])
            stream = NetworkStream(
                backend, self._architecture, rows, slab_voxels, part if is_told else None, image.stem
            )
            yield _Strip(stream, tile, part)

    @torch.inference_mode()
    def _with_less_memory(self, ladder: Sequence[Parts], run: Callable[[Backend, Parts], Found]) -> Found:
        is_beside_card = False
        for number, parts in enumerate(ladder[min(self._memory_step, len(ladder) - 1) :]):
            if number > 0 and IN_PARTS not in self.shortages:
                self.shortages.append(IN_PARTS)
            try:
                return self._computed(parts, run)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                is_beside_card = self.device.type != "cpu" and not is_card_short(error)
        if is_beside_card:
            raise ResourceError(TOO_LITTLE, remedy=REMEDY)
        if self.backend.plain is None:
            raise ResourceError(
                f"not enough memory on {self.device} even for the smallest parts of the image",
                remedy="Close other programs, use another device, or crop the image to the region of interest",
            )
        self._take_plain()
        return self._with_less_memory(ladder, run)

    def _computed(self, parts: Parts, run: Callable[[Backend, Parts], Found]) -> Found:
        """The result of ``run``; by plain torch where the back end does not work."""
        plain = self.backend.plain
        try:
            return run(self.backend, parts)
        except MtsError as error:
            if plain is None or not _is_not_finite(error):
                raise
        except Exception as error:  # whatever an optional package raises
            if plain is None or is_out_of_memory(error):
                raise
            self._take_plain()
        # Outside the handler: the traceback would keep the feature maps.
        found = run(plain, parts)
        if self.backend is not plain:
            # The numbers that were not finite are its own: those of the model itself are no fault of a back end.
            self._take_plain()
        return found

    def _take_plain(self) -> None:
        assert self.backend.plain is not None
        self.replaced.append(f"the back end {self.backend.name} failed, so plain torch was used, which may take longer")
        self.backend = self.backend.plain


def _is_not_finite(error: MtsError) -> bool:
    return isinstance(error, ModelError) and error.what == NOT_FINITE


def _label(
    backend: Backend,
    strip: _Strip,
    task: TaskInfo,
    labels: LabelStream,
    *,
    kept: Kept | None = None,
    observe: Observe | None = None,
) -> None:
    """The last map of a strip goes through the task's head into the labels, slab by slab."""
    labels.begin_strip(strip.tile.core[1], strip.tile.source[1][0])
    done = 0
    for slab in strip.stream.decode(kept, observe):
        labels.push_logits(backend.head(slab, task.channels))
        done += slab.shape[2]
        del slab  # which need not wait for the next one
        strip.progress(done / strip.stream.padded[0])


def _part(progress: Progress, number: int, count: int) -> Progress:
    def tell(share: float) -> None:
        """A share of one of ``count`` strips is done."""
        progress((number + share) / count)

    return tell


def _sizes(voxels: NDArray[np.float32]) -> Triple:
    z, y, x = voxels.shape[-3:]
    return z, y, x
