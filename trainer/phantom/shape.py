"""Solids and random fields that phantoms are built from, all in the millimetres of the scene."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Mask = NDArray[np.bool_]


def rotation_matrix(angles_rad: tuple[float, float, float]) -> NDArray[np.float64]:
    """Rotation about x, then y, then z.

    Args:
        angles_rad: angles about the x, y and z axis in radians.

    Returns:
        float64 ``(3, 3)``, orthogonal with determinant 1.
    """
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles_rad), np.cos(angles_rad)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, dtype=np.float64)


@dataclass(frozen=True)
class Ellipsoid:
    """A solid ellipsoid.

    Attributes:
        centre_mm: x, y, z of the centre.
        radii_mm: half axes before the rotation.
        angles_rad: rotation about x, y, z.
    """

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    angles_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def volume_mm3(self) -> float:
        """Exact volume, 4/3 pi abc."""
        return float(4 / 3 * np.pi * np.prod(self.radii_mm))

    def level(self, points_mm: Points) -> NDArray[np.float32]:
        """Distance from the centre in units of the radius: below 1 inside, 1 on the surface.

        Args:
            points_mm: float32 ``(N, 3)``.

        Returns:
            float32 ``(N,)``.
        """
        to_unit = (rotation_matrix(self.angles_rad) / np.asarray(self.radii_mm)).astype(np.float32)
        centre = np.asarray(self.centre_mm, dtype=np.float32)
        return np.asarray(np.linalg.norm((points_mm - centre) @ to_unit, axis=1), dtype=np.float32)

    def contains(self, points_mm: Points) -> Mask:
        """Which of the points ``(N, 3)`` lie inside, bool ``(N,)``."""
        return np.asarray(self.level(points_mm) <= 1)

    def grown(self, margin_mm: float) -> Ellipsoid:
        """The ellipsoid with every half axis longer by `margin_mm`."""
        a, b, c = self.radii_mm
        return Ellipsoid(self.centre_mm, (a + margin_mm, b + margin_mm, c + margin_mm), self.angles_rad)


@dataclass(frozen=True)
class Tube:
    """All points within a radius of a chain of straight pieces.

    Attributes:
        path_mm: corner points of the chain, at least two.
        radius_mm: radius of the tube and of its round ends.
    """

    path_mm: tuple[tuple[float, float, float], ...]
    radius_mm: float

    def distance_mm(self, points_mm: Points) -> NDArray[np.float32]:
        """Distance of the points ``(N, 3)`` from the chain, float32 ``(N,)``."""
        path = np.asarray(self.path_mm, dtype=np.float32)
        nearest = np.full(len(points_mm), np.inf, dtype=np.float32)
        for start, end in pairwise(path):
            along = end - start
            offset = points_mm - start
            share = np.clip(offset @ along / np.float32(along @ along), 0, 1)
            np.minimum(nearest, np.linalg.norm(offset - share[:, None] * along, axis=1), out=nearest)
        return nearest

    def contains(self, points_mm: Points) -> Mask:
        """Which of the points ``(N, 3)`` lie inside, bool ``(N,)``."""
        return np.asarray(self.distance_mm(points_mm) <= self.radius_mm)


@dataclass(frozen=True)
class WaveField:
    """A smooth random scalar field: a sum of plane waves with mean 0 and variance 1.

    Attributes:
        wave_vectors: float64 ``(K, 3)`` in radians per millimetre.
        phases_rad: float64 ``(K,)``.
    """

    wave_vectors: NDArray[np.float64]
    phases_rad: NDArray[np.float64]

    @classmethod
    def draw(cls, random: np.random.Generator, wavelength_mm: float, waves: int = 16) -> WaveField:
        """Draws a field whose waves point everywhere and have lengths within 25 % of `wavelength_mm`.

        Args:
            random: source of all randomness.
            wavelength_mm: typical distance between two crests.
            waves: number of plane waves; more is closer to a Gaussian field and slower.
        """
        directions = random.normal(size=(waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths_mm = wavelength_mm * random.uniform(0.75, 1.25, size=(waves, 1))
        return cls(directions * (2 * np.pi / lengths_mm), random.uniform(0, 2 * np.pi, size=waves))

    def __call__(self, points_mm: Points) -> NDArray[np.float32]:
        """Field values at the points ``(N, 3)``, float32 ``(N,)``."""
        total = self._sum(points_mm, 0.0) * np.float32(np.sqrt(2 / len(self.wave_vectors)))
        return np.asarray(total, dtype=np.float32)

    def relative(self, points_mm: Points) -> NDArray[np.float32]:
        """The field over its own envelope: the sine of the local phase, so that bands about its zeros are evenly wide.

        Args:
            points_mm: float32 ``(N, 3)``.

        Returns:
            float32 ``(N,)`` within [-1, 1].
        """
        sine, cosine = self._sum(points_mm, 0.0), self._sum(points_mm, np.pi / 2)
        return np.asarray(sine / np.maximum(np.hypot(sine, cosine), 1e-6), dtype=np.float32)

    def _sum(self, points_mm: Points, lead_rad: float) -> NDArray[np.float32]:
        total = np.zeros(len(points_mm), dtype=np.float32)
        for vector, phase_rad in zip(self.wave_vectors.astype(np.float32), self.phases_rad, strict=True):
            total += np.sin(points_mm @ vector + np.float32(phase_rad + lead_rad))
        return total


@dataclass(frozen=True)
class Warp:
    """A smooth displacement that makes every anatomy a little different.

    Attributes:
        fields: one wave field per axis.
        amplitude_mm: root mean square displacement along each axis; 0 leaves points where they are.
    """

    fields: tuple[WaveField, WaveField, WaveField]
    amplitude_mm: float

    @classmethod
    def draw(cls, random: np.random.Generator, wavelength_mm: float, amplitude_mm: float) -> Warp:
        """Draws a warp; see `WaveField.draw`. Folds nothing while amplitude is well below wavelength / 2 pi."""
        x, y, z = (WaveField.draw(random, wavelength_mm, 6) for _ in range(3))
        return cls((x, y, z), amplitude_mm)

    def __call__(self, points_mm: Points) -> Points:
        """Displaced points, float32 ``(N, 3)``."""
        if self.amplitude_mm == 0:
            return points_mm
        shift = np.stack([field(points_mm) for field in self.fields], axis=1)
        return np.asarray(points_mm + np.float32(self.amplitude_mm) * shift, dtype=np.float32)
