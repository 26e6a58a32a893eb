"""A heart in short-axis cine MR: left ventricle, myocardium and right ventricle between lungs, chest wall and liver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.phantom.canvas import Canvas
from trainer.phantom.shape import Ellipsoid, Mask, Points, Tube, Warp, WaveField

LABELS = {"left_ventricle": 1, "myocardium": 2, "right_ventricle": 3}
"""Label values; papillary muscles count as left ventricle."""

LUNG, WALL_MUSCLE, LIVER, MYOCARDIUM, FAT, BLOOD = 0.06, 0.32, 0.42, 0.38, 0.9, 1.0


@dataclass(frozen=True)
class Heart:
    """One heart in one phase of its beat.

    Frame: z along the long axis from apex to base, x and y across, millimetres, origin in the middle of the stack.

    Attributes:
        cavity_radius_mm: inner radius of the left ventricle across, at its widest.
        cavity_length_mm: half axis of the left ventricle along z.
        wall_mm: thickness of the myocardium.
        base_mm: height z at which the ventricles end.
        right_radius_mm: half axis of the right ventricle across.
        turn_rad: angle at which the right ventricle sits.
        texture: unevenness of the tissues and of the lung vessels.
        warp: individual deformation.
    """

    cavity_radius_mm: float
    cavity_length_mm: float
    wall_mm: float
    base_mm: float
    right_radius_mm: float
    turn_rad: float
    texture: WaveField
    warp: Warp

    @classmethod
    def draw(cls, random: np.random.Generator) -> Heart:
        """Draws a heart at the end of filling."""
        return cls(
            cavity_radius_mm=float(random.uniform(21, 28)),
            cavity_length_mm=float(random.uniform(58, 70)),
            wall_mm=float(random.uniform(7.5, 11)),
            base_mm=float(random.uniform(24, 33)),
            right_radius_mm=float(random.uniform(30, 37)),
            turn_rad=float(random.normal(0.0, 0.18)),
            texture=WaveField.draw(random, 16.0, 14),
            warp=Warp.draw(random, 75.0, 1.6),
        )

    def contracted(self, share: float) -> Heart:
        """The same heart later in its beat; the myocardium keeps its area across the long axis.

        Args:
            share: factor on the inner radius, 1 for no contraction.
        """
        inner_mm = share * self.cavity_radius_mm
        outer_mm = np.sqrt((self.cavity_radius_mm + self.wall_mm) ** 2 - self.cavity_radius_mm**2 + inner_mm**2)
        return Heart(
            inner_mm,
            (0.7 + 0.3 * share) * self.cavity_length_mm,
            float(outer_mm - inner_mm),
            self.base_mm - 8 * (1 - share),
            (0.4 + 0.6 * share) * self.right_radius_mm,
            self.turn_rad,
            self.texture,
            self.warp,
        )

    def cavity(self) -> Ellipsoid:
        """The left ventricle before it is cut at the base."""
        radius_mm = self.cavity_radius_mm
        return Ellipsoid((0.0, 0.0, self.base_mm - 6.0), (radius_mm, radius_mm, self.cavity_length_mm))

    def cavity_volume_mm3(self) -> float:
        """Exact volume of the left ventricle without deformation: an ellipsoid cut at the base.

        The integral of pi r^2 (1 - u^2) c du from u = -1 to u = h, h being the height of the base in units of c.
        """
        height = 6.0 / self.cavity_length_mm
        return float(np.pi * self.cavity_radius_mm**2 * self.cavity_length_mm * (2 / 3 + height - height**3 / 3))

    def paint(self, points_mm: Points) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Signal and labels; see `trainer.phantom.scan.Anatomy`."""
        points = self.warp(points_mm)
        canvas = Canvas(len(points), LUNG)
        self._paint_chest(canvas, points)
        self._paint_heart(canvas, points)
        canvas.signal *= 1 + np.float32(0.05) * self.texture(points)
        return canvas.signal, canvas.labels

    def _paint_chest(self, canvas: Canvas, points: Points) -> None:
        x, y = points[:, 0], points[:, 1]
        vessels = self.texture(points)
        canvas.fill(vessels > 2.0, 0.35)
        canvas.fill(Ellipsoid((-30.0, 92.0, -20.0), (88.0, 42.0, 70.0)).contains(points), LIVER)
        canvas.fill(Ellipsoid((66.0, 66.0, 0.0), (13.0, 13.0, 400.0)).contains(points), BLOOD)
        front_mm = -62 - 0.004 * (x - 10) ** 2 + 3 * np.sin(x / 17)
        canvas.fill(y < front_mm, WALL_MUSCLE)
        ribs = np.sin(x / 11 + points[:, 2] / 9) > 0.55
        canvas.fill((y < front_mm - 3) & (y > front_mm - 9) & ribs, 0.12)
        canvas.fill(y < front_mm - 11, FAT)
        canvas.fill(y < front_mm - 24, 0.02)

    def _paint_heart(self, canvas: Canvas, points: Points) -> None:
        inner = self.cavity()
        outer = inner.grown(self.wall_mm)
        below_base = points[:, 2] <= self.base_mm
        right = self._right_ventricle()
        in_right = right.contains(points)
        canvas.fill(outer.grown(7.0).contains(points) | right.grown(6.0).contains(points), 0.85 * FAT)
        canvas.fill(right.grown(3.0).contains(points), MYOCARDIUM)
        canvas.fill(in_right, BLOOD)
        canvas.fill(in_right & below_base, BLOOD, LABELS["right_ventricle"])
        in_outer = outer.contains(points)
        canvas.fill(in_outer & below_base, MYOCARDIUM, LABELS["myocardium"])
        canvas.fill(in_outer & ~below_base, MYOCARDIUM, 0)
        canvas.fill(outer.grown(-2.5).contains(points) & ~below_base, BLOOD)
        in_cavity = inner.contains(points) & below_base
        canvas.fill(in_cavity, BLOOD, LABELS["left_ventricle"])
        canvas.fill(in_cavity & self._papillary(points), MYOCARDIUM)

    def _right_ventricle(self) -> Ellipsoid:
        reach_mm = self.cavity_radius_mm + self.wall_mm
        radius_mm = self.right_radius_mm
        centre = (
            -0.78 * reach_mm * np.cos(self.turn_rad),
            -0.78 * reach_mm * np.sin(self.turn_rad) - 4,
            self.base_mm - 4,
        )
        radii = (0.82 * radius_mm, 1.12 * radius_mm, 0.86 * self.cavity_length_mm)
        return Ellipsoid((float(centre[0]), float(centre[1]), centre[2]), radii, (0.0, 0.0, self.turn_rad))

    def _papillary(self, points: Points) -> Mask:
        reach_mm = 0.68 * self.cavity_radius_mm
        muscles = []
        for angle_rad in (0.9, 2.6):
            foot = (reach_mm * np.cos(angle_rad), reach_mm * np.sin(angle_rad))
            path = ((*foot, self.base_mm - 45.0), (*foot, self.base_mm - 18.0))
            muscles.append(Tube(path, 0.16 * self.cavity_radius_mm).contains(points))
        return np.asarray(muscles[0] | muscles[1])
