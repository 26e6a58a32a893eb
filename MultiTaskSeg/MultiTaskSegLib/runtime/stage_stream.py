"""One stage of the network fed slab by slab along z: every slice is computed once, and nothing depends on the slabs.

Halos computed again and again are the price of tiles. Along one axis there is another way: a convolution only needs
the last few slices of what came before, so these are kept and the slabs follow one another without overlap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from MultiTaskSegLib.runtime.backend import Backend


class SliceQueue:
    """Maps ``(1, C, z, Y, X)`` in the order of z that wait for their turn."""

    def __init__(self) -> None:
        self._slabs: deque[Tensor] = deque()
        self.slices = 0

    def push(self, slab: Tensor) -> None:
        """Append slices."""
        self._slabs.append(slab)
        self.slices += slab.shape[2]

    def pop(self) -> Tensor:
        """Remove and return the first slab."""
        slab = self._slabs.popleft()
        self.slices -= slab.shape[2]
        return slab

    def take(self, slices: int) -> list[Tensor]:
        """Remove and return the first ``slices`` slices, in pieces."""
        taken: list[Tensor] = []
        self.slices -= slices
        while slices > 0:
            slab = self._slabs.popleft()
            if slab.shape[2] > slices:
                self._slabs.appendleft(slab[:, :, slices:])
                slab = slab[:, :, :slices]
            taken.append(slab)
            slices -= slab.shape[2]
        return taken


class StageStream:
    """Runs one stage over slabs; results lag behind by as many slices as the convolutions look ahead.

    Args:
        backend: computes.
        stage: name of the stage.
        radius: slices that each of its convolutions looks ahead.
    """

    def __init__(self, backend: Backend, stage: str, radius: int) -> None:
        self._backend, self._stage, self._radius = backend, stage, radius
        self._before: Tensor | None = None
        self._between: Tensor | None = None
        self._seen = 0
        self._done = 0

    def push(
        self, channels: int, sizes: tuple[int, int, int], write: Callable[[Tensor], None], last: bool
    ) -> Tensor | None:
        """Take the next slab.

        Args:
            channels: of the input.
            sizes: ``(z, y, x)`` of the slab.
            write: fills in the slab ``(1, channels, z, y, x)``; saves a copy where it is put together from pieces.
            last: whether it ends the image, beyond which everything is zero.

        Returns:
            The slices ``(1, C, Z, Y, X)`` that are complete now; None when there are none.
        """
        slices, rows, columns = sizes
        first, radius = self._before is None, self._radius
        alone = first and last
        ahead = 0 if alone else radius if self._before is None else self._before.shape[2]
        behind = radius if last and not alone else 0
        window = torch.empty(
            (1, channels, ahead + slices + behind, rows, columns),
            device=self._backend.device,
            dtype=self._backend.dtype,
            memory_format=torch.channels_last_3d,
        )
        window[:, :, :ahead] = 0 if self._before is None else self._before
        write(window[:, :, ahead : ahead + slices])
        window[:, :, ahead + slices :] = 0
        if alone or radius == 0:
            self._before = window[:, :, :0]
            return self._backend.second(self._stage, self._backend.first(self._stage, window, alone), window, alone)
        start, self._seen = self._seen - ahead, self._seen + slices
        self._before = window[:, :, -2 * radius :].clone()
        return self._inner(window, start, last) if window.shape[2] > 2 * radius else None

    def _inner(self, window: Tensor, start: int, last: bool) -> Tensor | None:
        """Both convolutions over a window whose first slice is slice ``start`` of the image."""
        radius = self._radius
        between = self._backend.first(self._stage, window, False)
        zeros = torch.zeros_like(between[:, :, :1]).expand(-1, -1, radius, -1, -1)
        parts = [zeros if self._between is None else self._between, between, *([zeros] if last else [])]
        joined = torch.cat(parts, dim=2)
        self._between = joined[:, :, -2 * radius :].clone()
        complete = joined.shape[2] - 2 * radius
        if complete <= 0:
            return None
        offset = self._done - start
        self._done += complete
        return self._backend.second(self._stage, joined, window[:, :, offset : offset + complete], False)
