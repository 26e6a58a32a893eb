"""What may compute a run beside plain torch, and what that takes beyond the run: to be compiled, and to be tried.

What a compiled back end takes while a pass runs is told by `rehearsal`, as for plain torch. Here is what there is once:
the library, the compiled parts of the network, and the trial that compares them with plain torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.network.convolution import Route
from MultiTaskSegLib.runtime.network.network_stream import SLAB_VOXELS, padded_shape
from MultiTaskSegLib.runtime.network.rehearsal import pass_memory

FLOAT_BYTES = 4
# Of the image that a back end is tried on, in cells of the coarsest level.
TRIAL_CELLS = (8, 12, 12)
# Channels of the head that a trial compares: those of many tasks would take more memory than the network.
TRIAL_OUTPUTS = 8
# Logits that are alive at once: both results, one of them also in slabs, and what their comparison makes.
TRIAL_COPIES = 5
# OpenVINO's library with what converts modules, and of each part its graph and its kernels (measured, 2026.4).
LIBRARY_BYTES, PART_BYTES = 100_000_000, 1_500_000
# While they are compiled, and what of it stays; of the parts' weights, multiples.
CONVERTING_BYTES = 60_000_000
COMPILING_COPIES, HELD_COPIES = 4, 2
# What it makes of new sizes of slabs, whatever these are.
KERNEL_BYTES = 40_000_000


@dataclass(frozen=True)
class Prospect:
    """What may compute the next run.

    Attributes:
        is_compiled: whether a compiled back end may; else plain torch does.
        builds: how many must be compiled before.
        is_tried: whether they are compared with plain torch before.
    """

    is_compiled: bool = False
    builds: int = 0
    is_tried: bool = False

    def held_bytes(self, architecture: Architecture) -> int:
        """What compiled parts hold from now on; of those that are there already, what new sizes of slabs add."""
        if not self.builds:
            return KERNEL_BYTES if self.is_compiled else 0
        parts = len(_part_weights(architecture))
        own = PART_BYTES * parts + HELD_COPIES * FLOAT_BYTES * sum(_part_weights(architecture))
        return LIBRARY_BYTES + KERNEL_BYTES + self.builds * own

    def building_bytes(self, architecture: Architecture) -> int:
        """Peak while they are compiled, beyond what stays."""
        if not self.builds:
            return 0
        passing = (COMPILING_COPIES - HELD_COPIES) * FLOAT_BYTES * sum(_part_weights(architecture))
        return CONVERTING_BYTES + passing

    def trying_bytes(self, architecture: Architecture) -> int:
        """Peak while they are compared with plain torch, beyond what stays."""
        if not self.is_tried:
            return 0
        grid = trial_grid(architecture)
        padded = padded_shape(architecture, grid)
        step = architecture.total_stride[0]
        slices = max(1, SLAB_VOXELS // (prod(padded[1:]) * step)) * step
        passing = pass_memory(architecture, padded, slices, Route.DIRECT, is_compiled=self.is_compiled)
        outputs = min(TRIAL_OUTPUTS, architecture.outputs) * len(architecture.stems)
        logits = FLOAT_BYTES * outputs * prod(grid)
        return passing.peak_bytes + TRIAL_COPIES * logits


PLAIN = Prospect()
# The most that there can be: OpenVINO, in float32 and in a lower precision.
UNKNOWN = Prospect(is_compiled=True, builds=2, is_tried=True)


def trial_grid(architecture: Architecture) -> Triple:
    """``(z, y, x)`` voxels of the image that a back end is tried on."""
    z, y, x = (cells * stride for cells, stride in zip(TRIAL_CELLS, architecture.total_stride, strict=True))
    return (1 if architecture.is_planar else z), y, x


def _part_weights(architecture: Architecture) -> list[int]:
    """How many weights each compiled part has."""
    weights: list[int] = []
    for level, (own, kernel) in enumerate(zip(architecture.channels, architecture.kernels, strict=True)):
        inputs = list(architecture.stems) if level == 0 else [own]
        if level < len(architecture.channels) - 1:
            inputs.append(2 * own)  # the decoder's, with what comes from below
        weights += [prod(kernel) * own * count for channels in inputs for count in (channels, own)]
    return weights
