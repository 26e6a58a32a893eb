"""Why an image is near or far: the share of known images that are nearer, and the feature maps that differ most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BAND_PERCENTILES = (5.0, 50.0, 95.0)
RANGES = ("large", "middle", "small")
IMAGE_WORDS = {
    "texture0": "the fine texture of the image",
    "texture1": "the coarser texture of the image",
    "layout": "the layout of the image (brightness by place)",
    "shading": "the shading of the image (smooth changes of brightness)",
}
SIZES = ("fine detail", "middle-sized structures", "large structures")


@dataclass(frozen=True)
class BlockDifference:
    """How much one block of the signature differs from the nearest known image of the nearest task.

    Attributes:
        layer: name of the feature map, or ``image``.
        part: ``spectrum`` (how the features vary over the image) or ``means`` (their average strength); of the image
            itself ``texture0``, ``texture1`` (fine and coarser texture), ``layout`` (brightness by place) or
            ``shading`` (smooth changes of brightness).
        ratio: distance in units of the typical distance between known images of the task.
        where: of a spectrum, the third of the singular values with the largest part of the squared distance:
            ``large``, ``middle`` or ``small``; empty for means.
        size: what the layer sees, in words: fine detail, middle-sized or large structures.
    """

    layer: str
    part: str
    ratio: float
    where: str
    size: str

    def words(self) -> str:
        """What differs, for people."""
        if self.part in IMAGE_WORDS:
            return IMAGE_WORDS[self.part]
        what = f"the {self.where} singular values" if self.where else "the mean features"
        return f"{what} of {self.layer}" + (f" ({self.size})" if self.size else "")


@dataclass(frozen=True)
class SpectrumBand:
    """Spectrum of one layer against the known images of a task, as in the signature (logarithms, descending).

    Attributes:
        layer: name of the feature map.
        image: the image's own values.
        low, middle, high: 5th, 50th and 95th percentile of the task's training images.
    """

    layer: str
    image: tuple[float, ...]
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


@dataclass(frozen=True)
class Explanation:
    """What stands behind a verdict.

    Attributes:
        percent_of_known_nearer: share in percent of known images that lie nearer to their task than this image lies to
            its nearest one: of new images of that task, as expected by its law; else of held-out ones.
        blocks: the signature's blocks, the most different first.
        spectra: by layer, for a plot; no part of the report.
    """

    percent_of_known_nearer: float
    blocks: tuple[BlockDifference, ...]
    spectra: tuple[SpectrumBand, ...] = field(default=(), compare=False, repr=False)

    def sentence(self) -> str:
        """In words."""
        first = self.blocks[0]
        return (
            f"{self.percent_of_known_nearer:.0f} % of known images are nearer; most different: {first.words()}, "
            f"{first.ratio:.1f} times the typical difference"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values as in ``report.json``."""
        return {
            "percent_of_known_nearer": self.percent_of_known_nearer,
            "blocks": [asdict(block) for block in self.blocks],
            "sentence": self.sentence(),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Explanation:
        """The explanation that `as_dict` described."""
        blocks = tuple(BlockDifference(**block) for block in plain["blocks"])
        return cls(plain["percent_of_known_nearer"], blocks)


def block_difference(
    layer: str,
    part: str,
    ratio: float,
    difference: NDArray[np.float64],
    projection: NDArray[np.float64] | None,
    deepest: int,
) -> BlockDifference:
    """Describe the difference of one block.

    The squared distance after the projection P is the sum over components i of d_i (P P^T d)_i, which tells the part
    of each singular value.

    Args:
        layer, part, ratio: as in `BlockDifference`.
        difference: ``(C,)`` from the nearest known image.
        projection: ``(C, C)`` of the block; None for none.
        deepest: number of the coarsest level among the layers.
    """
    where = ""
    if part == "spectrum":
        projected = difference if projection is None else projection @ (projection.T @ difference)
        thirds = np.array_split(difference * projected, len(RANGES))
        where = RANGES[int(np.argmax([third.sum() for third in thirds]))]
    return BlockDifference(layer, part, ratio, where, "" if part in IMAGE_WORDS else _size(layer, deepest))


def spectrum_band(layer: str, image: NDArray[np.float64], known: NDArray[np.float64]) -> SpectrumBand:
    """Band of known vectors ``(M, C)`` around the image's own ``(C,)``."""
    low, middle, high = np.percentile(known, BAND_PERCENTILES, axis=0)
    return SpectrumBand(layer, *(tuple(float(v) for v in row) for row in (image, low, middle, high)))


def level_of(layer: str) -> int:
    """Number of a layer's resolution level, 0 is the finest; 0 also for a name that tells none."""
    return int(layer[-1]) if layer[-1:].isdigit() else 0


def _size(layer: str, deepest: int) -> str:
    return SIZES[round(level_of(layer) / deepest * (len(SIZES) - 1))] if deepest else ""
