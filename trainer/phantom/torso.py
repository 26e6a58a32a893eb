"""An upper abdomen in CT, in Hounsfield units: liver, kidneys and spleen among bowel, bone, vessels and lung."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.phantom.canvas import Canvas
from trainer.phantom.shape import Ellipsoid, Mask, Points, Tube, Warp, WaveField

LABELS = {"liver": 1, "kidney": 2}
"""Label values; both kidneys share one. The spleen is there to be told apart from the liver."""

AIR_HU, LUNG_HU, FAT_HU, WATER_HU, MUSCLE_HU, BONE_HU, CORTICAL_HU = -1000.0, -850.0, -100.0, 5.0, 55.0, 220.0, 650.0


@dataclass(frozen=True)
class Torso:
    """One person.

    Frame: x to the left, y to the back, z to the top, millimetres, origin in the middle of the body.

    Attributes:
        size: factor from average to this person's size along x, y, z.
        fat_mm: thickness of the fat under the skin.
        liver_size: factor on the liver.
        kidney_radii_mm: half axes of the kidneys.
        contrast_hu: how much the contrast agent adds to blood; organs get their share of it.
        texture: unevenness of tissues.
        bowel: its crests are loops of bowel, the highest hold gas.
        warp: individual deformation.
    """

    size: tuple[float, float, float]
    fat_mm: float
    liver_size: float
    kidney_radii_mm: tuple[float, float, float]
    contrast_hu: float
    texture: WaveField
    bowel: WaveField
    warp: Warp

    @classmethod
    def draw(cls, random: np.random.Generator) -> Torso:
        """Draws a person."""
        x, y, z = random.normal(1.0, 0.04, size=3).clip(0.9, 1.1)
        kidney = random.uniform((21, 19, 42), (27, 24, 52))
        return cls(
            size=(float(x), float(y), float(z)),
            fat_mm=float(random.uniform(9, 26)),
            liver_size=float(random.uniform(0.9, 1.1)),
            kidney_radii_mm=(float(kidney[0]), float(kidney[1]), float(kidney[2])),
            contrast_hu=float(random.uniform(60, 160)),
            texture=WaveField.draw(random, 14.0, 14),
            bowel=WaveField.draw(random, 42.0, 12),
            warp=Warp.draw(random, 110.0, 3.0),
        )

    def kidneys(self) -> tuple[Ellipsoid, Ellipsoid]:
        """Left and right kidney; the right one sits lower because the liver is above it."""
        return (
            Ellipsoid((62.0, 34.0, -12.0), self.kidney_radii_mm, (0.15, 0.18, 0.3)),
            Ellipsoid((-60.0, 36.0, -30.0), self.kidney_radii_mm, (0.15, -0.18, -0.3)),
        )

    def paint(self, points_mm: Points) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Signal in HU and labels; see `trainer.phantom.scan.Anatomy`."""
        points: Points = np.asarray(self.warp(points_mm) / np.asarray(self.size), dtype=np.float32)
        canvas = Canvas(len(points), AIR_HU)
        body = Ellipsoid((0.0, 0.0, 0.0), (158.0, 108.0, 900.0))
        cavity = body.grown(-self.fat_mm - 15.0)
        self._paint_table(canvas, points)
        canvas.fill(body.contains(points), FAT_HU + 4 * self.texture(points))
        canvas.fill(body.grown(-self.fat_mm).contains(points), MUSCLE_HU + 6 * self.texture(points))
        self._paint_ribs(canvas, points, body.grown(-self.fat_mm - 6.0))
        in_cavity = cavity.contains(points)
        self._paint_bowel(canvas, points, in_cavity)
        below = self._below_diaphragm(points)
        self._paint_organs(canvas, points, in_cavity & below)
        self._paint_chest(canvas, points, in_cavity & ~below)
        self._paint_spine(canvas, points)
        return canvas.signal, canvas.labels

    @staticmethod
    def _below_diaphragm(points: Points) -> Mask:
        across, along = (np.abs(points[:, 0]) - 62) / 70, points[:, 1] / 85
        return np.asarray(points[:, 2] < 86 - 42 * across**2 - 38 * along**2)

    @staticmethod
    def _paint_table(canvas: Canvas, points: Points) -> None:
        height_mm = 124 - 0.0006 * points[:, 0] ** 2
        canvas.fill((np.abs(points[:, 1] - height_mm) < 3.5) & (np.abs(points[:, 0]) < 150), -300.0)

    @staticmethod
    def _paint_ribs(canvas: Canvas, points: Points, shell: Ellipsoid) -> None:
        level = shell.level(points)
        stripe = np.cos(2 * np.pi * (points[:, 2] + 0.35 * points[:, 1]) / 34)
        canvas.fill((np.abs(level - 1) < 0.035) & (stripe > 0.72) & (points[:, 2] > -50), CORTICAL_HU - 150)

    def _paint_bowel(self, canvas: Canvas, points: Points, in_cavity: Mask) -> None:
        loops = self.bowel(points)
        canvas.fill(in_cavity, FAT_HU + 6 * self.texture(points))
        in_front = in_cavity & (points[:, 1] < 28) & (points[:, 2] < 10)
        canvas.fill(in_front & (loops > 0.1), 38 + 8 * self.texture(points))
        canvas.fill(in_front & (loops > 1.45), -700.0)

    def _paint_organs(self, canvas: Canvas, points: Points, inside: Mask) -> None:
        grain = self.texture(points)
        factor = self.liver_size
        stomach = Ellipsoid((48.0, -28.0, 38.0), (34.0, 36.0, 30.0), (0.0, 0.0, 0.4))
        in_stomach = stomach.contains(points) & inside
        canvas.fill(in_stomach, WATER_HU + 25 + 6 * grain)
        canvas.fill(stomach.grown(-5.0).contains(points) & inside & (points[:, 1] < -34), -850.0)
        spleen = Ellipsoid((94.0, 34.0, 36.0), (24.0, 36.0, 40.0), (0.2, 0.0, 0.4))
        canvas.fill(spleen.contains(points) & inside, MUSCLE_HU + 0.75 * self.contrast_hu + 4 * grain)
        liver = Ellipsoid((-62.0, -6.0, 34.0), (88.0 * factor, 76.0 * factor, 70.0 * factor), (0.0, 0.25, 0.2))
        in_liver = liver.contains(points) & inside & ~in_stomach
        vessels = np.abs(self.bowel(points * np.float32(1.4))) + np.abs(self.texture(points * np.float32(0.4))) < 0.28
        canvas.fill(in_liver, 58 + 0.4 * self.contrast_hu + 4 * grain, LABELS["liver"])
        canvas.fill(in_liver & vessels, 50 + 0.75 * self.contrast_hu)
        canvas.fill(Tube(((12.0, 36.0, -200.0), (10.0, 34.0, 200.0)), 10.0).contains(points), 45 + self.contrast_hu)
        canvas.fill(
            Tube(((-20.0, 33.0, -200.0), (-20.0, 26.0, 200.0)), 10.5).contains(points) & inside,
            45 + 0.7 * self.contrast_hu,
        )
        for kidney in self.kidneys():
            level = kidney.level(points)
            canvas.fill(level <= 1.28, FAT_HU, 0)
            canvas.fill(level <= 1, 45 + 1.1 * self.contrast_hu + 4 * grain, LABELS["kidney"])
            canvas.fill(level <= 0.62, 40 + 0.6 * self.contrast_hu)

    def _paint_chest(self, canvas: Canvas, points: Points, inside: Mask) -> None:
        canvas.fill(inside, LUNG_HU + 30 * self.texture(points), 0)
        canvas.fill(inside & (self.texture(points) > 1.9), -100.0)
        canvas.fill(
            Ellipsoid((22.0, -28.0, 108.0), (58.0, 48.0, 52.0)).contains(points) & inside, 42 + 0.6 * self.contrast_hu
        )
        canvas.fill(
            Tube(((10.0, 34.0, 0.0), (10.0, 34.0, 200.0)), 11.0).contains(points) & inside, 45 + self.contrast_hu
        )

    def _paint_spine(self, canvas: Canvas, points: Points) -> None:
        x, y, z = points[:, 0], points[:, 1], points[:, 2]
        radius_mm = np.hypot(x / 1.25, y - 62)
        disc = np.cos(2 * np.pi * z / 32) > 0.82
        canvas.fill((np.abs(np.abs(x) - 30) < 22) & (np.abs(y - 84) < 16), MUSCLE_HU, 0)
        canvas.fill(radius_mm < 19, CORTICAL_HU - 200, 0)
        canvas.fill(radius_mm < 16.5, BONE_HU + 30 * self.texture(points))
        canvas.fill((radius_mm < 18) & disc, 90.0)
        canvas.fill((np.abs(x) < 5) & (y > 84) & (y < 100) & ~disc, CORTICAL_HU - 200, 0)
        canvas.fill(np.hypot(x, y - 86) < 12, CORTICAL_HU - 150, 0)
        canvas.fill(np.hypot(x, y - 86) < 8.5, 30.0)
