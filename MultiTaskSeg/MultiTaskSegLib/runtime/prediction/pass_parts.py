"""In which parts a pass may take an image: what `NetworkPass` works through, and what is estimated beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch

from MultiTaskSegLib.runtime.labels.label_rows import context_rows
from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.network.network_stream import slab_voxels_for
from MultiTaskSegLib.runtime.network.parts import Parts, part_ladder

# Encoder maps kept between the check and the segmentation; what does not fit is computed again.
KEPT_BYTES = 200_000_000


def encoder_stages(layers: Sequence[str]) -> int | None:
    """How many stages of the encoder a signature of these layers needs; None where it needs the decoder."""
    if any(not layer.startswith("encoder") for layer in layers):
        return None
    return 1 + max((int(layer[-1]) for layer in layers), default=-1)


def checking_ladder(
    architecture: Architecture, grid: Triple, layers: Sequence[str], device: torch.device, *, keep: bool
) -> tuple[Parts, ...]:
    """Of a pass that gives the spectra only.

    Args:
        architecture: of the network.
        grid: ``(Z, Y, X)`` of the prepared image.
        layers: of the signature.
        device: where the network runs.
        keep: whether labels are wanted afterwards.
    """
    keeps = KEPT_BYTES if keep and encoder_stages(layers) is not None else 0
    return part_ladder(architecture, grid, checking_context(architecture, layers), slab_voxels_for(device), keeps)


def checking_context(architecture: Architecture, layers: Sequence[str]) -> int:
    """Rows around a strip on which the maps of these layers depend."""
    stages = encoder_stages(layers)
    return (architecture.halo if stages is None else architecture.encoder_halo(stages))[1]


def labelling_ladder(
    architecture: Architecture, grid: Triple, shape: Triple, device: torch.device, *, keep: bool
) -> tuple[Parts, ...]:
    """Of a pass that gives labels.

    Args:
        architecture, grid, device: as in `checking_ladder`.
        shape: ``(Z, Y, X)`` of the labels.
        keep: whether a check comes before, which may have kept maps.
    """
    context = labelling_context(architecture, grid, shape)
    return part_ladder(architecture, grid, context, slab_voxels_for(device), KEPT_BYTES if keep else 0)


def labelling_context(architecture: Architecture, grid: Triple, shape: Triple) -> int:
    """Rows around a strip on which its labels depend, rounded up to the network's stride."""
    stride = architecture.total_stride[1]
    return ceil((architecture.halo[1] + context_rows(grid[1], shape[1])) / stride) * stride
