"""Regions that may overlap, as far as their probabilities have come: each is found for itself, by a sigmoid."""

from __future__ import annotations

from math import log, prod

import numpy as np
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import NOT_FINITE, NOT_FINITE_REMEDY, ModelError
from MultiTaskSegLib.runtime.network.architecture import Triple

LIMIT = 0.5
"""More probable than not: part of the region."""


class RunningRegions:
    """Regions, probability of what is shown, and uncertainty, on the image's own grid.

    Args:
        count: of regions.
        shape: ``(Z, Y, X)`` of the grid.

    Attributes:
        regions: bool ``(R, Z, Y, X)``, voxels that belong to a region with a probability of more than one half.
        confidence: float32 ``(Z, Y, X)``: the probability of the region that is painted last, in the order of the
            regions; where there is none, that of the most probable region not being there.
        uncertainty: float32 ``(Z, Y, X)``: mean over the regions of the entropy of "there or not", in units of its
            largest value. Were the regions independent, it would be the entropy of all of them together.
        voxels, overlaps: voxels of each region, and the sum of its probability there.
        totals: sum of the probability everywhere, by region.
        seconds: that labelling took.
    """

    def __init__(self, count: int, shape: Triple) -> None:
        self.regions = np.zeros((count, *shape), dtype=np.bool_)
        self.confidence = np.empty(shape, dtype=np.float32)
        self.uncertainty = np.empty(shape, dtype=np.float32)
        self.voxels, self.overlaps, self.totals = (np.zeros(count) for _ in range(3))
        self.seconds = 0.0

    @staticmethod
    def held_bytes(count: int, shape: Triple) -> int:
        """Main memory that the maps of an image take."""
        return prod(shape) * (count + 4 + 4)

    def require_finite(self) -> None:
        """Refuse probabilities that are no numbers.

        Raises:
            ModelError: there are some.
        """
        if not np.isfinite(self.totals).all():
            raise ModelError(NOT_FINITE, remedy=NOT_FINITE_REMEDY)

    def put(self, shares: Tensor, slices: slice, rows: slice) -> None:
        """Take the regions' probabilities ``(R, z, y, x)``.

        Args:
            shares: of some slices and rows.
            slices, rows: where they lie in the image.
        """
        target = (slices, rows)
        flat = shares.reshape(len(shares), -1)
        self.totals += flat.sum(dim=1).double().cpu().numpy()
        flat = flat.clamp(0.0, 1.0)
        found = flat > LIMIT
        confidence = 1.0 - flat.amax(dim=0)
        entropy = torch.zeros_like(confidence)
        for own, here in zip(flat, found, strict=True):
            confidence = torch.where(here, own, confidence)
            entropy += (torch.special.entr(own) + torch.special.entr(1.0 - own)) / (len(flat) * log(2))
        shape = self.confidence[target].shape
        self.regions[:, slices, rows] = found.reshape(len(flat), *shape).cpu().numpy()
        self.confidence[target] = confidence.reshape(shape).cpu().numpy()
        self.uncertainty[target] = entropy.clamp(0.0, 1.0).reshape(shape).cpu().numpy()
        self.voxels += found.sum(dim=1).cpu().numpy()
        self.overlaps += (flat * found).sum(dim=1).double().cpu().numpy()
