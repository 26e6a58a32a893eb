"""A back end of which some parts are computed by somebody else, and one that remembers what its parts are given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from Testing.bench.eight_bits.ladder import HEAD

Part = Callable[..., Tensor]
Inputs = tuple[NDArray[np.float32], ...]


class MixedBackend:
    """Parts that are given, and a back end for all others; maps between them are float32.

    Args:
        name: see `Backend`.
        plain: takes over where this fails.
        rest: computes the other parts.
        parts: by name, see `ladder.part_names`; the head's by its first channel, ``head0``.
    """

    def __init__(self, name: str, plain: TorchBackend, rest: Backend, parts: Mapping[str, Part]) -> None:
        self.name, self.device, self.precision = name, plain.device, rest.precision
        self.plain: Backend | None = plain
        self._rest, self._parts = rest, parts
        self._radius = radii(plain)

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """See `Backend`."""
        part = self._parts.get(f"{stage}.first")
        if part is None:
            return self._rest.first(stage, window, pad_z)
        return part(padded(window, self._radius[stage], pad_z))

    def shortcut(self, stage: str, centre: Tensor) -> Tensor:
        """See `Backend`."""
        part = self._parts.get(f"{stage}.shortcut")
        return self._rest.shortcut(stage, centre) if part is None else part(centre)

    def second(self, stage: str, window: Tensor, added: Tensor, pad_z: bool) -> Tensor:
        """See `Backend`."""
        part = self._parts.get(f"{stage}.second")
        if part is None:
            return self._rest.second(stage, window, added, pad_z)
        return part(padded(window, self._radius[stage], pad_z), added)

    def down(self, level: int, x: Tensor) -> Tensor:
        """See `Backend`."""
        part = self._parts.get(f"down{level}")
        return self._rest.down(level, x) if part is None else part(x)

    def up(self, level: int, x: Tensor) -> Tensor:
        """See `Backend`."""
        part = self._parts.get(f"up{level}")
        return self._rest.up(level, x) if part is None else part(x)

    def head(self, x: Tensor, channels: slice) -> Tensor:
        """See `Backend`."""
        part = self._parts.get(f"{HEAD}{channels.start or 0}")
        return self._rest.head(x, channels) if part is None else part(x)[0].contiguous()


class Recorder:
    """Plain torch that keeps, of every image, one input of each part, drawn at random.

    Attributes:
        seen: by part, the inputs ``(1, C, Z, Y, X)`` of one call for each image.
    """

    def __init__(self, plain: TorchBackend, seed: int = 0) -> None:
        self.name, self.device, self.precision = "recorder", plain.device, plain.precision
        self.plain: Backend | None = None
        self.seen: dict[str, list[Inputs]] = defaultdict(list)
        self._of_image: dict[str, Inputs] = {}
        self._calls: dict[str, int] = defaultdict(int)
        self._plain, self._radius, self._rng = plain, radii(plain), np.random.default_rng(seed)

    def end_image(self) -> None:
        """What was drawn so far is of one image."""
        for part, inputs in self._of_image.items():
            self.seen[part].append(inputs)
        self._of_image.clear()
        self._calls.clear()

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """See `Backend`."""
        self._see(f"{stage}.first", padded(window, self._radius[stage], pad_z))
        return self._plain.first(stage, window, pad_z)

    def shortcut(self, stage: str, centre: Tensor) -> Tensor:
        """See `Backend`."""
        self._see(f"{stage}.shortcut", centre)
        return self._plain.shortcut(stage, centre)

    def second(self, stage: str, window: Tensor, added: Tensor, pad_z: bool) -> Tensor:
        """See `Backend`."""
        self._see(f"{stage}.second", padded(window, self._radius[stage], pad_z), added)
        return self._plain.second(stage, window, added, pad_z)

    def down(self, level: int, x: Tensor) -> Tensor:
        """See `Backend`."""
        self._see(f"down{level}", x)
        return self._plain.down(level, x)

    def up(self, level: int, x: Tensor) -> Tensor:
        """See `Backend`."""
        self._see(f"up{level}", x)
        return self._plain.up(level, x)

    def head(self, x: Tensor, channels: slice) -> Tensor:
        """See `Backend`."""
        self._see(HEAD, x)
        return self._plain.head(x, channels)

    def _see(self, part: str, *inputs: Tensor) -> None:
        self._calls[part] += 1
        if self._rng.random() * self._calls[part] < 1:  # each call of the image is as likely as any other
            self._of_image[part] = tuple(np.array(x.contiguous().numpy()) for x in inputs)


def radii(plain: TorchBackend) -> dict[str, int]:
    """Slices that the convolutions of each stage look ahead."""
    return {stage: weights.first.padding[0] for stage, weights in plain.stages.items()}


def padded(window: Tensor, radius: int, pad_z: bool) -> Tensor:
    """Zeros along z where they are asked for: parts never pad there by themselves."""
    if not (pad_z and radius):
        return window
    zeros = nn.functional.pad(window, (0, 0, 0, 0, radius, radius))
    return zeros.contiguous(memory_format=torch.channels_last_3d)
