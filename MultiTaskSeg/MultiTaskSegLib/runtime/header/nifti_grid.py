"""The two grids that a NIfTI-1 header can state, and whether they contradict each other.

Method 2 (qform, a quaternion) and method 3 (sform, a matrix): nifti1.h, https://nifti.nimh.nih.gov. Both are in RAS.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MAX_DIFFERENCE = 0.1
"""Largest distance of the two grids at a corner, in voxels, that rounding explains."""


def qform_to_lps(qform: Sequence[float], pixdim: Sequence[float]) -> NDArray[np.float64]:
    """``(4, 4)``, voxel index to LPS, in the file's unit.

    Args:
        qform: ``b, c, d`` of the unit quaternion, then the offset along x, y, z.
        pixdim: the field of the header; its first value is the handedness.
    """
    b, c, d = qform[:3]
    a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    sizes = np.array([size if size > 0 else 1.0 for size in pixdim[1:4]])
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * sizes * [1.0, 1.0, -1.0 if pixdim[0] < 0 else 1.0]
    matrix[:3, 3] = qform[3:6]
    return RAS_TO_LPS @ matrix


def sform_to_lps(sform: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(4, 4)``, voxel index to LPS, in the file's unit, from the three rows of the sform."""
    matrix: NDArray[np.float64] = RAS_TO_LPS @ np.vstack([sform, [0.0, 0.0, 0.0, 1.0]])
    return matrix


def contradiction(
    qform_lps: NDArray[np.float64], sform_lps: NDArray[np.float64], used: NDArray[np.float64], dims: Sequence[int]
) -> str:
    """That the two grids lie in different places and which one is used, in words; empty where they agree.

    Args:
        qform_lps, sform_lps, used: ``(4, 4)``, voxel index to LPS millimetres.
        dims: number of voxels along x, y, z.
    """
    corners = np.array([(*corner, 1) for corner in product(*((0, count - 1) for count in dims))], dtype=float)
    voxel_mm = np.linalg.norm(used[:3, :3], axis=0).min()
    apart_mm, to_qform_mm, to_sform_mm = (
        float(np.linalg.norm(((one - other) @ corners.T)[:3], axis=0).max())
        for one, other in ((qform_lps, sform_lps), (qform_lps, used), (sform_lps, used))
    )
    if apart_mm <= _MAX_DIFFERENCE * voxel_mm:
        return ""
    first, second = ("qform", "sform") if to_qform_mm <= to_sform_mm else ("sform", "qform")
    return (
        f"the two orientations in the header contradict each other, qform and sform are up to {apart_mm:.3g} mm apart; "
        f"the {first} is used, other programs may use the {second}"
    )
