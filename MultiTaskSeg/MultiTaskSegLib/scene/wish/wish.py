"""What is wanted of an image, as the worker is asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from MultiTaskSegLib.scene.wish.region_node import region_of


def wish_of(
    region: slicer.vtkMRMLMarkupsROINode | None = None,
    structures: Sequence[str] = (),
    wholeCheck: bool = False,
    thorough: bool = False,
) -> dict[str, Any]:
    """Options of a request to the worker; none for all structures in all of the image.

    Args:
        region: only what lies in this ROI is segmented.
        structures: names of those that are wanted; none for all.
        wholeCheck: whether the whole image is checked beside a region.
        thorough: whether further looks at changed copies of the image tell how sure the result is.

    Raises:
        InputError: as `region_of`.
    """
    wish: dict[str, Any] = {}
    if region is not None:
        wish |= {"region": region_of(region).as_dict(), "whole_check": bool(wholeCheck)}
    if structures:
        wish["structures"] = list(structures)
    if thorough:
        wish["thorough"] = True
    return wish
