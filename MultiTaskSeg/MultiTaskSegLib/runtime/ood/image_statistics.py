"""Texture, layout and shading of the prepared image itself: the part of a signature that no network has to learn.

A network that was trained to see through noise and blur tells them badly. The image's own statistics tell them at once,
and together they find more spoilt images than either alone (docs/results).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct, dctn
from torch import Tensor
from torch.nn import functional

# Two scales: the image, and the image halved in the plane.
TEXTURES = ("texture0", "texture1")
LAYOUT = "layout"
SHADING = "shading"
STATISTICS = (*TEXTURES, LAYOUT, SHADING)
# Of model files that do not name theirs.
FIRST_STATISTICS = (*TEXTURES, LAYOUT)

PLANAR_NEIGHBOURHOOD, NEIGHBOURHOOD = (1, 5, 5), (3, 3, 3)
PLANAR_CELLS, CELLS = (1, 4, 4), (2, 4, 4)
# A bias field multiplies, so it adds to the logarithm of the brightness; smooth as it is, few components hold it.
PLANAR_SHADING_CELLS, SHADING_CELLS = (1, 32, 32), (8, 32, 32)
PLANAR_SHADING, SHADING_COMPONENTS = (1, 8, 8), (2, 8, 8)
DARKEST = 0.02
# Mean powers need no more samples than this; larger images are looked at on a coarser lattice of places.
MAX_PLACES = 350_000
SMALLEST_THINNED = 32
VALUES_AT_ONCE = 500_000
SMALLEST_POWER = 1e-10
SMALLEST_VARIANCE = 1e-6


@dataclass(frozen=True)
class ImageStatistics:
    """What is kept of one prepared image.

    Attributes:
        values: float64 ``(C,)`` by name in `STATISTICS`. Textures are the logarithms of the mean power of the cosine
            components of 3 x 3 x 3 neighbourhoods (2-D: 5 x 5), the layout is mean and logarithm of the standard
            deviation in each of 2 x 4 x 4 cells (2-D: 4 x 4) that divide the image, the shading the lowest 2 x 8 x 8
            cosine components (2-D: 8 x 8) of the logarithm of the brightness. Of several channels, those of one
            follow those of the other.
    """

    values: dict[str, NDArray[np.float64]]


def image_statistics(voxels: NDArray[np.float32], planar: bool, channels: int = 1) -> ImageStatistics:
    """Statistics of a prepared image.

    Args:
        voxels: ``(Z, Y, X)`` in [0, 1], or of several channels ``(C, Z, Y, X)``.
        planar: whether it is for a 2-D network.
        channels: as many as any image has that it may be compared with; zeros stand for those that this one lacks.
            Images with different numbers of channels are never compared, so these zeros make no distance.
    """
    if voxels.ndim == 3 and channels == 1:
        return ImageStatistics(_of_channel(voxels, planar))
    stack = voxels if voxels.ndim == 4 else voxels[None]
    parts = [_of_channel(channel, planar) for channel in stack]
    parts += [{name: np.zeros_like(values) for name, values in parts[0].items()}] * (channels - len(parts))
    return ImageStatistics({name: np.concatenate([part[name] for part in parts]) for name in STATISTICS})


def _of_channel(voxels: NDArray[np.float32], planar: bool) -> dict[str, NDArray[np.float64]]:
    image = torch.from_numpy(np.ascontiguousarray(voxels, dtype=np.float32))[None, None]
    halved = _halved(image)
    values = {name: _texture(scale, planar) for name, scale in zip(TEXTURES, (image, halved), strict=True)}
    return values | {LAYOUT: _layout(image, planar), SHADING: _shading(image, planar)}


def statistic_length(name: str, planar: bool, channels: int = 1) -> int:
    """Number of values of a statistic."""
    if name == LAYOUT:
        return channels * 2 * int(np.prod(PLANAR_CELLS if planar else CELLS))
    if name == SHADING:
        return channels * int(np.prod(PLANAR_SHADING if planar else SHADING_COMPONENTS))
    return channels * int(np.prod(PLANAR_NEIGHBOURHOOD if planar else NEIGHBOURHOOD))


def _texture(image: Tensor, planar: bool) -> NDArray[np.float64]:
    sides = PLANAR_NEIGHBOURHOOD if planar else NEIGHBOURHOOD
    image = _at_least(image, sides)
    filters = cosine_filters(sides)
    step = max(1, round((image.numel() / MAX_PLACES) ** (1 / (2 if planar else 3))))
    stride = tuple(1 if n < SMALLEST_THINNED else step for n in image.shape[2:])
    power, places = torch.zeros(len(filters), dtype=torch.float64), 0
    starts = range(0, image.shape[2] - sides[0] + 1, stride[0])
    plane = max(1, image.shape[3] * image.shape[4] * len(filters) // (stride[1] * stride[2]))
    at_once = max(1, VALUES_AT_ONCE // plane)
    for first in range(0, len(starts), at_once):
        last = starts[min(first + at_once, len(starts)) - 1]
        part = functional.conv3d(image[:, :, starts[first] : last + sides[0]], filters, stride=stride)
        power += torch.linalg.vector_norm(part, dim=(0, 2, 3, 4)).double().square_()
        places += part[0, 0].numel()
    return np.asarray(np.log(np.maximum((power / places).numpy(), SMALLEST_POWER)))


def _halved(image: Tensor) -> Tensor:
    """Means of 2 x 2 voxels in the plane; several times as fast as torch's pooling."""
    rows = _mean_of_pairs(image[..., 0::2, :], image[..., 1::2, :], axis=3)
    return _mean_of_pairs(rows[..., 0::2], rows[..., 1::2], axis=4)


def _mean_of_pairs(first: Tensor, second: Tensor, axis: int) -> Tensor:
    means = first.clone()
    # The last of an odd number has no partner and stays as it is.
    means.narrow(axis, 0, second.shape[axis]).add_(second).mul_(0.5)
    return means


def _at_least(image: Tensor, sides: tuple[int, int, int]) -> Tensor:
    """The image, its last voxels repeated where it is smaller than ``sides``."""
    z, y, x = (max(0, side - n) for side, n in zip(sides, image.shape[2:], strict=True))
    if not (z or y or x):
        return image  # padding by nothing would copy it
    return functional.pad(image, (0, x, 0, y, 0, z), mode="replicate")


@cache
def cosine_filters(sides: tuple[int, int, int]) -> Tensor:
    """Orthonormal cosine transform (DCT-II) of a neighbourhood as filters ``(prod(sides), 1, *sides)``."""
    count = int(np.prod(sides))
    basis = np.eye(count).reshape(count, *sides)
    for axis in (1, 2, 3):
        basis = dct(basis, axis=axis, norm="ortho")
    rows = basis.reshape(count, count).T.reshape(count, 1, *sides)
    return torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32))


def _layout(image: Tensor, planar: bool) -> NDArray[np.float64]:
    cells = PLANAR_CELLS if planar else CELLS
    length, count = image.shape[-1], cells[-1]
    # Along x first, where voxels lie side by side: torch's pooling of the whole image takes several times as long.
    parts = [image[..., n * length // count : -(-(n + 1) * length // count)] for n in range(count)]
    averages = torch.stack([part.mean(dim=-1) for part in parts], dim=-1)
    norms = torch.stack([torch.linalg.vector_norm(part, dim=-1) / part.shape[-1] ** 0.5 for part in parts], dim=-1)
    means, squares = (functional.adaptive_avg_pool3d(p.double(), cells) for p in (averages, norms.square()))
    deviations = (squares - means.square()).clamp_min(SMALLEST_VARIANCE).sqrt().log()
    return np.concatenate([means.numpy().ravel(), deviations.numpy().ravel()])


def _shading(image: Tensor, planar: bool) -> NDArray[np.float64]:
    cells = PLANAR_SHADING_CELLS if planar else SHADING_CELLS
    z, y, x = PLANAR_SHADING if planar else SHADING_COMPONENTS
    brightness = functional.adaptive_avg_pool3d(image, cells)[0, 0].double().numpy()
    components = dctn(np.log(brightness + DARKEST), norm="ortho") / np.sqrt(np.prod(cells))
    return np.asarray(components[:z, :y, :x].ravel())
