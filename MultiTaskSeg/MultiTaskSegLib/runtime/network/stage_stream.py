"""One stage of the network fed slab by slab along z: every slice is computed once, and nothing depends on the slabs.

Halos computed again and again are the price of tiles. Along one axis there is another way: a convolution only needs
the last few slices of what came before, so these are kept and the slabs follow one another without overlap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from MultiTaskSegLib.runtime.network.backend import Backend

LARGEST_HALF = torch.finfo(torch.float16).max


class SliceQueue:
    """Slices of maps ``(1, C, z, Y, X)`` in the order of z that wait for their turn.

    Their memory comes in blocks of several slices and is used again: slices that were allocated one by one, between
    maps that come and go, would leave holes everywhere.

    Args:
        is_compact: whether to hold them in half precision where their values fit.
        block: slices to take memory for at a time.
    """

    def __init__(self, is_compact: bool, block: int) -> None:
        self._is_compact, self._block = is_compact, block
        self._waiting: deque[Tensor] = deque()
        self._free: list[Tensor] = []
        self._is_closed = False

    @property
    def slices(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def push(self, slab: Tensor) -> None:
        """Append the slices of a slab ``(1, C, z, Y, X)``."""
        dtype = compact_dtype(slab) if self._is_compact else slab.dtype
        for piece in slab.split(1, dim=2):
            place = self._place(piece, dtype)
            self._waiting.append(place.copy_(piece))

    def move(self, target: Tensor) -> None:
        """Take as many slices from the front as ``target`` ``(1, C, z, Y, X)`` has, and write them there."""
        for place in target.split(1, dim=2):
            piece = self._waiting.popleft()
            place.copy_(piece)
            if not self._is_closed:
                self._free.append(piece)

    def close(self) -> None:
        """No more slices will come: memory is given back, block by block, as they leave."""
        self._is_closed = True
        self._free.clear()

    def pop(self) -> Tensor:
        """Remove and return the first slice ``(1, C, 1, Y, X)``."""
        return self._waiting.popleft()

    def _place(self, piece: Tensor, dtype: torch.dtype) -> Tensor:
        if not self._free or self._free[-1].dtype != dtype:
            _, channels, _, rows, columns = piece.shape
            block = torch.empty((self._block, rows, columns, channels), dtype=dtype, device=piece.device)
            self._free = list(block.permute(0, 3, 1, 2)[:, :, None].split(1))
        return self._free.pop()


def compact_dtype(slab: Tensor) -> torch.dtype:
    """Half precision for float32 values within its range, else float32; half in a rehearsal, which has no values."""
    if slab.is_meta:
        return torch.float16
    least, most = torch.aminmax(slab)
    return torch.float16 if bool((least >= -LARGEST_HALF) & (most <= LARGEST_HALF)) else slab.dtype


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
            memory_format=torch.channels_last_3d,
        )
        window[:, :, :ahead] = 0 if self._before is None else self._before
        write(window[:, :, ahead : ahead + slices])
        del write  # and with it what it copied from
        window[:, :, ahead + slices :] = 0
        if alone or radius == 0:
            self._before = window[:, :, :0].clone()
            between, added = (
                self._backend.first(self._stage, window, alone),
                self._backend.shortcut(self._stage, window),
            )
            del window
            return self._backend.second(self._stage, between, added, alone)
        start, self._seen = self._seen - ahead, self._seen + slices
        self._before = _kept(self._before, window[:, :, -2 * radius :])
        if window.shape[2] <= 2 * radius:
            return None
        between = self._backend.first(self._stage, window, False)
        held = radius if self._between is None else self._between.shape[2]
        complete = held + between.shape[2] + (radius if last else 0) - 2 * radius
        offset, self._done = self._done - start, self._done + max(0, complete)
        addition = (
            self._backend.shortcut(self._stage, window[:, :, offset : offset + complete]) if complete > 0 else None
        )
        del window  # the largest of all, and no longer needed
        joined = self._joined(between, last)
        del between
        return None if addition is None else self._backend.second(self._stage, joined, addition, False)

    def _joined(self, between: Tensor, last: bool) -> Tensor:
        """New slices between the two convolutions after those that were kept, and zeros beyond the image."""
        radius = self._radius
        zeros = torch.zeros_like(between[:, :, :1]).expand(-1, -1, radius, -1, -1)
        parts = [zeros if self._between is None else self._between, between, *([zeros] if last else [])]
        joined = torch.cat(parts, dim=2)
        self._between = _kept(self._between, joined[:, :, -2 * radius :])
        return joined


def _kept(place: Tensor | None, values: Tensor) -> Tensor:
    """A copy, in the same memory as the one before where that has the same size."""
    return values.clone() if place is None or place.shape != values.shape else place.copy_(values)
