"""Random changes of training patches: draw a record, then apply it. Ranges follow nnU-Net (Isensee et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from trainer.config import Triple
from trainer.data.stored_array import Box, Voxels

Vector = tuple[float, float, float]

# Largest standard deviation of the elastic control points, as a share of the distance between them. At 0.2 the
# displacement folds only where two neighbours differ by more than 3.5 standard deviations.
ELASTIC = 0.2
CONTROL_POINTS = (3, 6, 6)


@dataclass(frozen=True)
class IntensityChange:
    """What is done to the intensities of one channel; fields as of `Augmentation`."""

    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    noise_sigma: float = 0.0
    noise_seed: int = 0
    blur_sigma: float = 0.0
    shrink: float = 1.0
    bias: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """Everything that was drawn for one patch; applying it twice gives the same patch.

    Attributes:
        centre_zyx: patch centre in voxels of the prepared case.
        matrix: ``(3, 3)`` from patch offsets to case offsets in voxels, order ``(z, y, x)``.
        gamma, contrast, brightness: intensity changes, applied in this order; 1, 1, 0 change nothing.
        noise_sigma: standard deviation of Gaussian noise; the seed of its generator is ``noise_seed``.
        blur_sigma: in-plane Gaussian blur in voxels; 0 for none.
        shrink: in-plane resolution loss, 1 for none.
        bias: amplitude of a smooth multiplicative field; 0 for none.
        elastic_voxels: standard deviation ``(z, y, x)`` of the control points of a smooth displacement; 0s for none.
        elastic_seed: of its generator.
        further: changes of the intensities of the other channels, each drawn for itself; all are cut out alike.
    """

    centre_zyx: Vector
    matrix: tuple[Vector, Vector, Vector]
    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    noise_sigma: float = 0.0
    noise_seed: int = 0
    blur_sigma: float = 0.0
    shrink: float = 1.0
    bias: float = 0.0
    elastic_voxels: Vector = (0.0, 0.0, 0.0)
    elastic_seed: int = 0
    further: tuple[IntensityChange, ...] = ()


def draw_augmentation(
    rng: np.random.Generator,
    centre_zyx: Vector,
    spacing_zyx_mm: Vector,
    patch_zyx: Triple,
    planar: bool,
    mirror: str = "",
    further: int = 0,
) -> Augmentation:
    """Draw a record. Thick-slice and 2-D images are rotated, scaled and deformed in the plane only.

    Args:
        rng: the only source of chance.
        centre_zyx: patch centre in voxels of the prepared case.
        spacing_zyx_mm: of its grid.
        patch_zyx: patch size.
        planar: whether it is 2-D.
        mirror: axes along which it may be mirrored.
        further: how many channels there are besides the first.
    """
    in_plane_only = planar or spacing_zyx_mm[0] >= 3 * max(spacing_zyx_mm[1:])
    matrix = _matrix(rng, np.asarray(spacing_zyx_mm), in_plane_only, mirror)

    def sometimes(probability: float, value: float, otherwise: float) -> float:
        """A value with a probability, else the other one."""
        return value if rng.random() < probability else otherwise

    def change() -> dict[str, Any]:
        """Of the intensities of a channel."""
        return {
            "gamma": sometimes(0.3, float(np.exp(rng.uniform(-0.4, 0.4))), 1.0),
            "contrast": sometimes(0.3, float(rng.uniform(0.75, 1.25)), 1.0),
            "brightness": sometimes(0.3, float(rng.uniform(-0.1, 0.1)), 0.0),
            "noise_sigma": sometimes(0.2, float(rng.uniform(0.0, 0.08)), 0.0),
            "noise_seed": int(rng.integers(2**31)),
            "blur_sigma": sometimes(0.15, float(rng.uniform(0.4, 1.0)), 0.0),
            "shrink": sometimes(0.15, float(rng.uniform(1.0, 2.0)), 1.0),
            "bias": sometimes(0.3, float(rng.uniform(0.0, 0.3)), 0.0),
        }

    return Augmentation(
        centre_zyx,
        tuple((float(r[0]), float(r[1]), float(r[2])) for r in matrix),  # type: ignore[arg-type]
        **change(),
        elastic_voxels=_elastic_voxels(sometimes(0.4, float(rng.uniform(0.0, ELASTIC)), 0.0), patch_zyx, in_plane_only),
        elastic_seed=int(rng.integers(2**31)),
        # Last, so that a single channel is drawn as if there could be no others.
        further=tuple(IntensityChange(**change()) for _ in range(further)),
    )


@dataclass(frozen=True)
class Patch:
    """Part of a prepared case.

    Attributes:
        image: float32 ``(C, Z, Y, X)`` in [0, 1]; 0 outside the case, as the runtime pads, whatever was done to the
            intensities: no scan has a brighter or noisier outside.
        labels: int64 ``(Z, Y, X)``; 0 outside the case.
        inside: bool ``(1, Z, Y, X)``: the case.
    """

    image: Tensor
    labels: Tensor
    inside: Tensor


def apply_augmentation(
    record: Augmentation, voxels: Voxels, labels: Voxels, patch_zyx: Triple, further: Sequence[Voxels] = ()
) -> Patch:
    """Cut one patch out of a prepared case, of which only the part around the patch is read.

    Args:
        record: what to do.
        voxels: ``(Z, Y, X)`` in [0, 1], in memory or on disk.
        labels: uint8 ``(Z, Y, X)``.
        patch_zyx: patch size.
        further: the other channels, like ``voxels``, as many as ``record.further``.
    """
    grid = _sampling_grid(record, voxels.shape, patch_zyx)
    low, high = _reach(grid)
    box = sampled_box(low, high, voxels.shape)
    target = _in_place(labels, box)[None, None]
    # Up to the outer face of the last voxel is inside. Beyond, the border goes on while intensities are changed: a blur
    # or a coarser grid would else bring in the 0 from outside.
    is_within = bool((low >= -1).all()) and bool((high <= 1).all())
    inside = torch.ones(grid.shape[:4], dtype=torch.bool) if is_within else (grid.movedim(-1, 0).abs() <= 1).all(dim=0)
    changes: list[Augmentation | IntensityChange] = [record, *record.further]
    changed = []
    for change, array in zip(changes, (voxels, *further), strict=True):
        image = _in_place(array, box)[None, None]
        patch = functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
        changed.append(change_intensity(change, patch)[0])
    mask = functional.grid_sample(target, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    whole = changed[0] if len(changed) == 1 else torch.cat(changed)
    return Patch(whole * inside, mask[0, 0].round().long(), inside)


def _matrix(
    rng: np.random.Generator, spacing_zyx_mm: NDArray[np.float64], in_plane_only: bool, mirror: str
) -> NDArray[np.float64]:
    """Rotation, scaling and mirroring in millimetres, written for voxel offsets."""
    limits = np.radians([30.0, 0.0, 0.0] if in_plane_only else [20.0, 12.0, 12.0])
    angles = rng.uniform(-limits, limits) * (rng.random() < 0.6)
    scale = np.exp(rng.uniform(-0.1, 0.1, size=3) + rng.uniform(-0.28, 0.28)) if rng.random() < 0.6 else 1.0
    scale = np.broadcast_to(scale, 3).copy()
    if in_plane_only:
        scale[0] = 1.0
    for axis, name in enumerate("zyx"):
        if name in mirror and rng.random() < 0.5:
            scale[axis] = -scale[axis]
    in_mm = _rotation(angles) @ np.diag(scale)
    # Rows and columns are axes (z, y, x); the spacing turns voxels into millimetres and back.
    matrix: NDArray[np.float64] = in_mm * spacing_zyx_mm[None, :] / spacing_zyx_mm[:, None]
    return matrix


def _elastic_voxels(strength: float, patch_zyx: Triple, in_plane_only: bool) -> Vector:
    """Standard deviation of the control points in voxels, for a share of the distance between them."""
    z, y, x = (strength * n / points for n, points in zip(patch_zyx, CONTROL_POINTS, strict=True))
    return (0.0 if in_plane_only else z), y, x


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Product of the rotations about z, y, x for vectors ordered ``(z, y, x)``."""
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (i for i in range(3) if i != axis)
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result


def _sampling_grid(record: Augmentation, shape: tuple[int, ...], patch_zyx: Triple) -> Tensor:
    """Normalised ``(1, Z, Y, X, 3)`` coordinates, last axis ``(x, y, z)`` as `grid_sample` wants them.

    A position is a sum of what each axis of the patch adds, so nothing is multiplied voxel by voxel; each coordinate
    lies in a plane of its own, which is added up fastest.
    """
    # From voxels of the case to [-1, 1], which are its outer faces; rows from last to first make them (x, y, z).
    scale = 2 / np.asarray(shape, dtype=np.float64)
    matrix = (scale[:, None] * np.asarray(record.matrix))[::-1]
    start = (scale * (np.asarray(record.centre_zyx) + 0.5) - 1)[::-1]
    z, y, x = (
        torch.tensor(np.outer(column, np.arange(n) - (n - 1) / 2), dtype=torch.float32)
        for column, n in zip(matrix.T, patch_zyx, strict=True)
    )
    first = torch.tensor(start.copy(), dtype=torch.float32)[:, None, None, None]
    planes = (z[:, :, None, None] + first) + (y[:, None, :, None] + x[:, None, None, :])
    if any(record.elastic_voxels):
        planes += _displacement(record, patch_zyx, torch.tensor(matrix.copy(), dtype=torch.float32))
    return planes.movedim(0, -1)[None]


def _displacement(record: Augmentation, patch_zyx: Triple, matrix: Tensor) -> Tensor:
    """Smooth random ``(3, Z, Y, X)`` in the coordinates that a matrix makes of voxels in order ``(z, y, x)``.

    Normal control points, linear between them; so it is enough to turn the control points.
    """
    generator = torch.Generator().manual_seed(record.elastic_seed)
    coarse = torch.randn((3, *CONTROL_POINTS), generator=generator)
    coarse = coarse * torch.tensor(record.elastic_voxels).view(3, 1, 1, 1)
    dense = (matrix @ coarse.flatten(1)).view_as(coarse)
    z, y, x = (_between(points, n) for points, n in zip(CONTROL_POINTS, patch_zyx, strict=True))
    # The finest grid is reached in the last of three products, where it costs least.
    plane = y @ (dense @ x.T)
    return (z @ plane.flatten(2)).view(3, *patch_zyx)


def _between(points: int, n: int) -> Tensor:
    """Weights ``(n, points)`` of evenly spaced points at n places between the first and the last of them."""
    place = torch.arange(n, dtype=torch.float32) * ((points - 1) / max(1, n - 1))
    return (1 - (place[:, None] - torch.arange(points)).abs()).clamp(min=0)


def _reach(grid: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest of each coordinate ``(x, y, z)`` of a grid."""
    low, high = zip(*(torch.aminmax(grid[..., axis]) for axis in range(3)), strict=True)
    return torch.stack(low), torch.stack(high)


def sampled_box(low: Tensor, high: Tensor, shape: tuple[int, ...]) -> Box:
    """The part of a case that `grid_sample` looks at for a grid, with a margin of a voxel against rounding.

    Args:
        low, high: smallest and largest normalised coordinates ``(x, y, z)`` of the grid.
        shape: of the case, ``(Z, Y, X)``.

    Returns:
        At least one voxel, also for a patch beside the case.
    """
    size = torch.tensor(shape, dtype=torch.float32)
    below, above = (((reach.flip(-1) + 1) * size - 1) / 2 for reach in (low, high))
    first = [min(max(int(v) - 1, 0), n - 1) for v, n in zip(below.floor(), shape, strict=True)]
    # Beside the case the border goes on; the voxel next to it is read, too, though it counts nothing.
    stop = [min(max(int(v) + 3, f + 2), n) for v, f, n in zip(above.floor(), first, shape, strict=True)]
    z, y, x = (slice(f, s) for f, s in zip(first, stop, strict=True))
    return z, y, x


def _in_place(array: Voxels, box: Box) -> Tensor:
    """A float32 tensor of a whole case's shape that holds the voxels of a box at their places, and nothing elsewhere.

    `grid_sample` reckons with the size of what it samples, so that a smaller tensor would round coordinates
    differently. Here the axes have the strides of the box: its voxels lie side by side, and of the memory around them,
    on which all other places fall, nothing is read or written.
    """
    part = torch.from_numpy(np.ascontiguousarray(array[box], dtype=np.float32))
    strides = (part.shape[1] * part.shape[2], part.shape[2], 1)
    first = sum(extent.start * stride for extent, stride in zip(box, strides, strict=True))
    last = sum((n - 1) * stride for n, stride in zip(array.shape, strides, strict=True))
    memory = torch.empty(last + 1)
    memory[first : first + part.numel()] = part.ravel()
    return memory.as_strided(array.shape, strides)


def change_intensity(record: Augmentation | IntensityChange, patch: Tensor) -> Tensor:
    """Change ``(1, 1, Z, Y, X)`` in [0, 1]; the result is clipped to [0, 1] like every prepared image."""
    generator = torch.Generator().manual_seed(record.noise_seed)
    if record.bias:
        coarse = torch.randn((1, 1, 2, 3, 3), generator=generator)
        field = functional.interpolate(coarse, size=patch.shape[2:], mode="trilinear", align_corners=True)
        patch = patch * torch.exp(record.bias * field)
    if record.blur_sigma:
        patch = _blur_in_plane(patch, record.blur_sigma)
    if record.shrink > 1:
        patch = _lose_resolution(patch, record.shrink)
    if record.gamma != 1:
        patch = patch.clamp(0, 1) ** record.gamma
    patch = (patch - 0.5) * record.contrast + 0.5 + record.brightness if _changes_scale(record) else patch
    if record.noise_sigma:
        patch = patch + record.noise_sigma * torch.randn(patch.shape, generator=generator)
    return patch.clamp(0, 1)


def _changes_scale(record: Augmentation | IntensityChange) -> bool:
    return record.contrast != 1 or record.brightness != 0


def _blur_in_plane(patch: Tensor, sigma: float) -> Tensor:
    radius = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(patch, (radius, radius, radius, radius, 0, 0), mode="replicate")
    rows = functional.conv3d(padded, kernel.view(1, 1, 1, -1, 1))
    return functional.conv3d(rows, kernel.view(1, 1, 1, 1, -1))


def _lose_resolution(patch: Tensor, factor: float) -> Tensor:
    z, y, x = patch.shape[2:]
    small = (z, max(1, round(y / factor)), max(1, round(x / factor)))
    # Linear both ways: the nearest voxel would shift the image against its labels by up to a voxel.
    coarse = functional.interpolate(patch, size=small, mode="trilinear", align_corners=False)
    return functional.interpolate(coarse, size=(z, y, x), mode="trilinear", align_corners=False)
