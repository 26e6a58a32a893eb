"""A head in T1-weighted MR: scalp, skull, folded cortex, white matter, ventricles and a pair of hippocampi."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.phantom.canvas import Canvas
from trainer.phantom.shape import Ellipsoid, Mask, Points, Tube, Warp, WaveField

LABELS = {"grey_matter": 1, "white_matter": 2, "ventricle": 3, "hippocampus": 4}
"""Label values; ``grey_matter`` is the cortical ribbon, deep nuclei count as background."""

AIR, BONE, FLUID, MUSCLE, GREY, WHITE, FAT = 0.01, 0.08, 0.18, 0.45, 0.58, 0.85, 0.98
SULCUS_DEPTH_MM = 13.0
RIBBON_MM = 5.5
STEM = Tube(((0.0, 10.0, -12.0), (0.0, 18.0, -40.0), (0.0, 26.0, -95.0)), 10.5)
CEREBELLUM = Ellipsoid((0.0, 43.0, -34.0), (46.0, 29.0, 20.0))


@dataclass(frozen=True)
class Brain:
    """One person.

    Frame: x to the left, y to the back, z to the top, millimetres, origin in the middle of the head.

    Attributes:
        size: factor from average to this person's size along x, y, z.
        ventricle_size: factor on the lateral ventricles (they widen with age).
        hippocampus_radius_mm: half thickness of the hippocampi.
        fold: its zero lines on the brain's surface are the sulci.
        texture: unevenness inside each tissue.
        warp: individual deformation.
        contrast: factor on the difference between grey and white matter (sequence and age).
    """

    size: tuple[float, float, float]
    ventricle_size: float
    hippocampus_radius_mm: float
    fold: WaveField
    texture: WaveField
    warp: Warp
    contrast: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> Brain:
        """Draws a person."""
        x, y, z = random.normal(1.0, 0.035, size=3).clip(0.9, 1.1)
        return cls(
            size=(float(x), float(y), float(z)),
            ventricle_size=float(random.uniform(0.8, 1.3)),
            hippocampus_radius_mm=float(random.uniform(7.5, 9.0)),
            fold=WaveField.draw(random, 30.0, 24),
            texture=WaveField.draw(random, 18.0, 12),
            warp=Warp.draw(random, 70.0, 1.8),
            contrast=float(random.uniform(0.85, 1.15)),
        )

    def ventricles(self) -> tuple[Ellipsoid, ...]:
        """The lateral ventricles and the third ventricle; they do not touch."""
        factor = self.ventricle_size
        lateral = (7.0 * factor, 27.0 * factor**0.5, 9.0 * factor)
        return (
            Ellipsoid((10.5, 0.0, 19.0), lateral, (0.15, 0.0, -0.14)),
            Ellipsoid((-10.5, 0.0, 19.0), lateral, (0.15, 0.0, 0.14)),
            Ellipsoid((0.0, 4.0, -1.0), (2.5, 11.0, 7.0)),
        )

    def hippocampi(self) -> tuple[Tube, Tube]:
        """Left and right hippocampus, each a bent tube."""
        path = ((22.0, -4.0, -19.0), (28.0, 10.0, -18.0), (26.0, 26.0, -9.0))
        mirrored = tuple((-x, y, z) for x, y, z in path)
        return Tube(path, self.hippocampus_radius_mm), Tube(mirrored, self.hippocampus_radius_mm)

    def paint(self, points_mm: Points) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Signal and labels; see `trainer.phantom.scan.Anatomy`."""
        points: Points = np.asarray(self.warp(points_mm) / np.asarray(self.size), dtype=np.float32)
        canvas = Canvas(len(points), AIR)
        self._paint_head(canvas, points)
        self._paint_hindbrain(canvas, points)
        self._paint_cerebrum(canvas, points)
        self._paint_deep(canvas, points)
        canvas.signal *= 1 + np.float32(0.03) * self.texture(points)
        return canvas.signal, canvas.labels

    def _paint_head(self, canvas: Canvas, points: Points) -> None:
        skull = Ellipsoid((0.0, 0.0, 10.0), (69.0, 86.0, 66.0))
        neck = Ellipsoid((0.0, -14.0, -62.0), (56.0, 66.0, 60.0))
        scalp = skull.grown(6.0).contains(points) | neck.grown(5.0).contains(points)
        canvas.fill(scalp, FAT)
        canvas.fill(neck.contains(points), MUSCLE * (1 + 0.25 * self.fold(points * np.float32(2.0))))
        canvas.fill(Ellipsoid((0.0, -50.0, -52.0), (13.0, 26.0, 20.0)).contains(points), AIR)
        for side in (-1.0, 1.0):
            canvas.fill(Ellipsoid((30.0 * side, -66.0, -22.0), (15.0, 16.0, 14.0)).contains(points), FAT)
            canvas.fill(Ellipsoid((31.0 * side, -72.0, -22.0), (11.5, 11.5, 11.5)).contains(points), FLUID)
        canvas.fill(skull.contains(points), BONE)
        base_mm = np.where(points[:, 1] < 14, -42.0, -60.0)
        canvas.fill(skull.grown(-5.0).contains(points) & (points[:, 2] > base_mm), FLUID)

    def _paint_hindbrain(self, canvas: Canvas, points: Points) -> None:
        canvas.fill(STEM.contains(points), 0.95 * WHITE)
        folia = np.sin(0.5 * points[:, 1] + 0.95 * points[:, 2])
        canvas.fill(CEREBELLUM.contains(points), (GREY + 0.1 + 0.1 * folia).astype(np.float32))

    def _paint_cerebrum(self, canvas: Canvas, points: Points) -> None:
        surface = Ellipsoid((0.0, 0.0, 12.0), (62.0, 78.0, 57.0))
        level = surface.level(points)
        depth_mm = (1 - level) * np.float32(63.0)
        floor_mm = -37 + 3 * np.cos(points[:, 0] / 12)
        below = CEREBELLUM.grown(3.0).contains(points) | STEM.contains(points)
        inside = (depth_mm > 0) & (points[:, 2] > floor_mm) & ~self._cleft(points) & ~below
        # Folds are looked up on the surface below which a point lies, so that sulci run straight down.
        centre = np.asarray(surface.centre_mm, dtype=np.float32)
        spread = centre + (points - centre) / np.maximum(level, 0.3)[:, None]
        fold = np.abs(self.fold.relative(np.asarray(spread, dtype=np.float32)))
        near_edge = (depth_mm < RIBBON_MM) | (points[:, 2] < floor_mm + RIBBON_MM) | self._cleft(points, RIBBON_MM)
        near_edge |= CEREBELLUM.grown(3.0 + RIBBON_MM).contains(points)
        ribbon = near_edge | ((fold < 0.7) & (depth_mm < SULCUS_DEPTH_MM + RIBBON_MM - 3 * fold))
        sulcus = (fold < 0.22) & (depth_mm < SULCUS_DEPTH_MM)
        canvas.fill(inside, self._white, LABELS["white_matter"])
        canvas.fill(inside & ribbon, GREY, LABELS["grey_matter"])
        canvas.fill(inside & sulcus, FLUID, 0)

    def _paint_deep(self, canvas: Canvas, points: Points) -> None:
        for side in (-1.0, 1.0):
            nuclei = (
                Ellipsoid((11.0 * side, 10.0, 1.0), (8.0, 14.0, 8.0)),
                Ellipsoid((25.0 * side, -6.0, 5.0), (6.5, 19.0, 11.0)),
            )
            for nucleus in nuclei:
                canvas.fill(nucleus.contains(points), GREY + 0.06, 0)
        for tube in self.hippocampi():
            distance_mm = tube.distance_mm(points)
            canvas.fill(distance_mm <= tube.radius_mm + 2.6, FLUID, 0)
            canvas.fill(distance_mm <= tube.radius_mm, GREY - 0.08, LABELS["hippocampus"])
        for ventricle in self.ventricles():
            canvas.fill(ventricle.contains(points), FLUID, LABELS["ventricle"])

    @property
    def _white(self) -> float:
        return GREY + self.contrast * (WHITE - GREY)

    @staticmethod
    def _cleft(points: Points, margin_mm: float = 0.0) -> Mask:
        """The gap between the hemispheres, closed where the corpus callosum joins them."""
        bridge = Ellipsoid((0.0, 2.0, 8.0), (30.0, 40.0 - margin_mm, 27.0 - margin_mm))
        return np.asarray((np.abs(points[:, 0]) < 1.3 + margin_mm) & ~bridge.contains(points))
