"""The uncertain regions of a result as a list to be worked off: what is done is kept with the scene."""

from __future__ import annotations

import json
from collections.abc import Sequence

import slicer

from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.scene.earlier_result import UNCERTAINTY_ROLE
from MultiTaskSegLib.scene.uncertain_region import UncertainRegion, regions_of

DONE = f"{PREFIX}Regions.Done"
"""Attribute of a segmentation: ``(i, j, k)`` of the most uncertain voxel of each region that is done, as JSON."""


class RegionWorklist:
    """The regions of one result, largest first, and which of them are done.

    A region is known by its most uncertain voxel, which is the same whenever it is computed from the same map.
    """

    def __init__(self, segmentation_node: slicer.vtkMRMLSegmentationNode) -> None:
        """Find the regions.

        Raises:
            InputError: a parent transform is not linear.
        """
        uncertainty = segmentation_node.GetNodeReference(UNCERTAINTY_ROLE)
        self._node = segmentation_node
        self.uncertainty = uncertainty
        self.regions: Sequence[UncertainRegion] = () if uncertainty is None else tuple(regions_of(uncertainty))

    @property
    def left(self) -> list[UncertainRegion]:
        """Those that are not done, largest first."""
        return [region for region in self.regions if not self.is_done(region)]

    @property
    def done_count(self) -> int:
        """How many are done."""
        return len(self.regions) - len(self.left)

    def is_done(self, region: UncertainRegion) -> bool:
        """Whether a region was worked off."""
        return list(region.place_ijk) in self._done()

    def set_done(self, region: UncertainRegion, is_done: bool = True) -> None:
        """Tick a region off, or take that back."""
        others = [place for place in self._done() if place != list(region.place_ijk)]
        done = [*others, list(region.place_ijk)] if is_done else others
        self._node.SetAttribute(DONE, json.dumps(done))

    def after(self, region: UncertainRegion | None) -> UncertainRegion | None:
        """The region to look at next: one that is left, behind this one or from the beginning again.

        When all are done they are gone through once more; None where there are none.
        """
        if not self.regions:
            return None
        first = 0 if region is None or region not in self.regions else self.regions.index(region) + 1
        order = [*self.regions[first:], *self.regions[:first]]
        return next((one for one in order if not self.is_done(one)), order[0])

    def number_of(self, region: UncertainRegion) -> int:
        """Its number in the list, from 1."""
        return self.regions.index(region) + 1

    def _done(self) -> list[list[int]]:
        done: list[list[int]] = json.loads(self._node.GetAttribute(DONE) or "[]")
        return done
