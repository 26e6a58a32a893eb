"""Objects that no phantom task contains: a knee, a seed pod and a pure texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.phantom.canvas import Canvas
from trainer.phantom.shape import Ellipsoid, Points, Tube, Warp, WaveField


@dataclass(frozen=True)
class Knee:
    """A knee in proton-density MR: bones with bright marrow, cartilage, fluid, muscle and fat. Nothing is labelled.

    Frame: x to the left, y to the back, z to the top, millimetres, origin in the joint.

    Attributes:
        texture: unevenness of the tissues.
        warp: individual deformation.
    """

    texture: WaveField
    warp: Warp

    @classmethod
    def draw(cls, random: np.random.Generator) -> Knee:
        """Draws a knee."""
        return cls(WaveField.draw(random, 12.0, 14), Warp.draw(random, 70.0, 1.5))

    def paint(self, points_mm: Points) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Signal and (empty) labels; see `trainer.phantom.scan.Anatomy`."""
        points = self.warp(points_mm)
        canvas = Canvas(len(points), 0.01)
        leg = Ellipsoid((0.0, 8.0, 0.0), (62.0, 68.0, 400.0))
        canvas.fill(leg.contains(points), 1.0)
        strands = self.texture(points * np.asarray([1.0, 1.0, 0.2], dtype=np.float32))
        muscle = leg.grown(-11.0).contains(points) & (np.abs(points[:, 2]) > 26) & (points[:, 1] > -6)
        canvas.fill(muscle, (0.42 + 0.06 * strands).astype(np.float32))
        self._paint_bones(canvas, points)
        canvas.fill(Tube(((0.0, -52.0, 70.0), (0.0, -50.0, 10.0), (0.0, -36.0, -38.0)), 4.5).contains(points), 0.1)
        canvas.fill(Ellipsoid((0.0, -50.0, 18.0), (20.0, 8.5, 21.0)).contains(points), 0.1)
        canvas.fill(Ellipsoid((0.0, -50.0, 18.0), (18.0, 7.0, 19.0)).contains(points), 0.8)
        canvas.fill(Tube(((6.0, 34.0, -90.0), (-4.0, 36.0, 90.0)), 5.0).contains(points), 0.15)
        canvas.signal *= 1 + np.float32(0.04) * self.texture(points)
        return canvas.signal, canvas.labels

    @staticmethod
    def _paint_bones(canvas: Canvas, points: Points) -> None:
        femur = Tube(((0.0, -10.0, 34.0), (0.0, -8.0, 140.0)), 18.0)
        tibia = Tube(((0.0, -2.0, -36.0), (0.0, 2.0, -140.0)), 17.0)
        fibula = Tube(((34.0, 22.0, -34.0), (33.0, 24.0, -140.0)), 7.0)
        condyles = [Ellipsoid((22.0 * side, -2.0, 22.0), (20.0, 29.0, 21.0)) for side in (-1.0, 1.0)]
        plateau = Ellipsoid((0.0, 0.0, -20.0), (42.0, 28.0, 18.0))
        in_joint = (np.abs(points[:, 2]) < 4) & (np.hypot(points[:, 0] / 42, points[:, 1] / 30) < 1)
        canvas.fill(in_joint, 0.9)
        canvas.fill(in_joint & (np.abs(points[:, 0]) > 24), 0.12)
        for layer_mm, signal in ((2.5, 0.65), (0.0, 0.1), (-2.5, 0.8)):
            for bone in (*condyles, plateau):
                canvas.fill(bone.grown(layer_mm).contains(points), signal)
            for shaft in (femur, tibia, fibula):
                canvas.fill(shaft.distance_mm(points) <= shaft.radius_mm + layer_mm, signal)


@dataclass(frozen=True)
class SeedPod:
    """A ribbed pod with seeds in micro-CT: two shells, a spongy pith and seeds with germs. Nothing is labelled.

    Frame: z along the pod, scene millimetres.

    Attributes:
        seeds: the seeds.
        sponge: its zero lines are the walls of the pith.
        ribs: number of ribs around the pod.
    """

    seeds: tuple[Ellipsoid, ...]
    sponge: WaveField
    ribs: int

    @classmethod
    def draw(cls, random: np.random.Generator) -> SeedPod:
        """Draws a pod."""
        seeds = []
        for row in range(5):
            for place in range(3):
                angle_rad = 2 * np.pi * place / 3 + 0.5 * row + random.normal(0, 0.08)
                height_mm = -54.0 + 27 * row + random.normal(0, 2)
                across, deep, tall = (float(radius_mm) for radius_mm in random.uniform((10, 10, 11), (13, 13, 15)))
                centre = (float(24 * np.cos(angle_rad)), float(24 * np.sin(angle_rad)), float(height_mm))
                seeds.append(Ellipsoid(centre, (across, deep, tall), (0.0, 0.3, float(angle_rad))))
        return cls(tuple(seeds), WaveField.draw(random, 13.0, 24), int(random.integers(9, 14)))

    def paint(self, points_mm: Points) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Signal and (empty) labels; see `trainer.phantom.scan.Anatomy`."""
        canvas = Canvas(len(points_mm), 0.02)
        angle_rad = np.arctan2(points_mm[:, 1], points_mm[:, 0])
        taper = np.sqrt(np.clip(1 - (points_mm[:, 2] / 84) ** 2, 0.0, 1.0))
        radius_mm = np.hypot(points_mm[:, 0], points_mm[:, 1]) / np.maximum(taper, 0.05)
        wall_mm = 54 + 4 * np.cos(self.ribs * angle_rad)
        canvas.fill(radius_mm < wall_mm, 0.75)
        canvas.fill(radius_mm < wall_mm - 4, 0.12)
        canvas.fill(radius_mm < 46, 0.55)
        canvas.fill(radius_mm < 43, 0.06)
        canvas.fill((radius_mm < 43) & (np.abs(self.sponge.relative(points_mm)) < 0.3), 0.3)
        for seed in self.seeds:
            level = seed.level(points_mm)
            canvas.fill(level <= 1, 0.95)
            canvas.fill(level <= 0.84, 0.6)
            canvas.fill(level <= 0.4, 0.85)
        return canvas.signal, canvas.labels


@dataclass(frozen=True)
class Texture:
    """Smooth random texture that fills the whole image. Nothing is labelled.

    Attributes:
        coarse: large blobs.
        fine: small blobs.
    """

    coarse: WaveField
    fine: WaveField

    @classmethod
    def draw(cls, random: np.random.Generator) -> Texture:
        """Draws a texture."""
        return cls(WaveField.draw(random, 34.0, 24), WaveField.draw(random, 11.0, 24))

    def paint(self, points_mm: Points) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Signal and (empty) labels; see `trainer.phantom.scan.Anatomy`."""
        signal = np.clip(0.5 + 0.16 * self.coarse(points_mm) + 0.12 * self.fine(points_mm), 0, None)
        return signal.astype(np.float32), np.zeros(len(points_mm), dtype=np.uint8)
