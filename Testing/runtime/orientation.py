"""Every way in which a voxel grid can lie along the body axes, and some that lie across them."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

OBLIQUE_DEG = {"straight": (0.0, 0.0, 0.0), "tilted": (17.0, 0.0, 0.0), "oblique": (23.0, -41.0, 66.0)}
SPACINGS_MM = {"isotropic": (1.0, 1.0, 1.0), "thick": (0.7, 0.7, 5.0), "odd": (0.3137, 1.618, 2.718)}


def axis_matrices() -> list[np.ndarray]:
    """The 48 signed permutation matrices ``(3, 3)``: right- and left-handed."""
    return [
        np.eye(3)[list(order)] * np.array(signs)[:, None]
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
    ]


def rotation(angles_deg: tuple[float, float, float]) -> np.ndarray:
    """Rotation ``(3, 3)`` about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(angles_deg)):
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def grid(
    axes: np.ndarray,
    angles_deg: tuple[float, float, float],
    spacing_mm: tuple[float, ...],
    origin_mm: tuple[float, ...] = (-91.7, 118.25, 33.3),
) -> np.ndarray:
    """ijk to world ``(4, 4)``."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(angles_deg) @ axes * np.array(spacing_mm)
    matrix[:3, 3] = origin_mm
    return matrix


def corners_mm(ijk_to_world: np.ndarray, shape_zyx: tuple[int, ...]) -> np.ndarray:
    """World positions ``(8, 3)`` of the corner voxels: affine maps that agree there agree everywhere."""
    ijk = np.array([[*corner, 1] for corner in product(*((0, count - 1) for count in shape_zyx[::-1]))])
    return (ijk @ ijk_to_world.T)[:, :3]
