"""The scanner of the phantoms: sampling grid, partial volume, blur, bias field, noise and intensity scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.phantom.shape import Points, WaveField


class Anatomy(Protocol):
    """Something that can be scanned."""

    def paint(self, points_mm: Points) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Signal of the tissue, float32 ``(N,)``, and label value, uint8 ``(N,)``, at points ``(N, 3)``."""
        ...


@dataclass(frozen=True)
class Scan:
    """How one image is taken; with the anatomy this decides every voxel.

    Attributes:
        shape: ``(Z, Y, X)``.
        ijk_to_scene: float64 ``(4, 4)``, voxel index to the millimetres of the anatomy.
        scene_to_lps: float64 ``(4, 4)``, rigid: where the anatomy lies in the patient frame.
        sub_slices: samples averaged through the thickness of a slice (partial volume of thick slices).
        blur_voxels: standard deviation of the point spread along Z, Y, X.
        noise: standard deviation in units of the painted signal (a fraction of 1 for MR, HU for CT).
        bias: receive field; None for modalities that have none.
        bias_strength: root mean square of the logarithm of the receive field.
        gain: factor from painted signal to stored numbers.
        is_magnitude: True for MR, where noise is Rician; False for CT, where it is Gaussian.
        noise_seed: seed of the noise.
    """

    shape: tuple[int, int, int]
    ijk_to_scene: NDArray[np.float64]
    scene_to_lps: NDArray[np.float64]
    sub_slices: int
    blur_voxels: tuple[float, float, float]
    noise: float
    bias: WaveField | None
    bias_strength: float
    gain: float
    is_magnitude: bool
    noise_seed: int

    @property
    def ijk_to_lps(self) -> NDArray[np.float64]:
        """float64 ``(4, 4)``, voxel index to patient millimetres, as written into the header."""
        return self.scene_to_lps @ self.ijk_to_scene


@dataclass(frozen=True)
class Picture:
    """One rendered case.

    Attributes:
        volume: the image.
        labels: uint8 ``(Z, Y, X)``, the label at the centre of each voxel.
    """

    volume: Volume
    labels: NDArray[np.uint8]


def centred_grid(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    rotation: NDArray[np.float64],
    centre_mm: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Matrix of a grid whose middle lies at `centre_mm`.

    Args:
        shape: ``(Z, Y, X)``.
        spacing_mm: x, y, z.
        rotation: float64 ``(3, 3)``, directions of the grid axes as columns.
        centre_mm: float64 ``(3,)``.

    Returns:
        float64 ``(4, 4)`` from voxel index to millimetres.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.asarray(spacing_mm)
    matrix[:3, 3] = centre_mm - matrix[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return matrix


def stored_order(
    shape: tuple[int, int, int],
    ijk_to_scene: NDArray[np.float64],
    axes: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """The same grid with its voxels stored in another order, as a sagittal or feet-first scan would be.

    Args:
        shape: ``(Z, Y, X)``.
        ijk_to_scene: float64 ``(4, 4)``.
        axes: new index axis i, j, k is old axis ``axes[0]``, ``axes[1]``, ``axes[2]``.
        flips: whether the new axis i, j, k runs backwards.

    Returns:
        Shape ``(Z, Y, X)`` and matrix of the grid in its new order; every voxel centre stays where it is.
    """
    lengths = [shape[::-1][axis] for axis in axes]
    matrix = np.eye(4)
    matrix[:3, 3] = ijk_to_scene[:3, 3]
    for new, (old, is_flipped) in enumerate(zip(axes, flips, strict=True)):
        step = ijk_to_scene[:3, old]
        matrix[:3, new] = -step if is_flipped else step
        matrix[:3, 3] += (lengths[new] - 1) * step if is_flipped else 0
    return (lengths[2], lengths[1], lengths[0]), matrix


def voxel_centres_mm(
    shape: tuple[int, int, int], ijk_to_scene: NDArray[np.float64], slice_offset: float = 0.0
) -> Points:
    """Centres of all voxels in scene millimetres, float32 ``(Z * Y * X, 3)``, X running fastest.

    Args:
        shape: ``(Z, Y, X)``.
        ijk_to_scene: float64 ``(4, 4)``.
        slice_offset: shift along the slice axis in slices.
    """
    k, j, i = np.meshgrid(*(np.arange(length, dtype=np.float32) for length in shape), indexing="ij")
    index = np.stack([i.ravel(), j.ravel(), k.ravel() + np.float32(slice_offset)], axis=1)
    return np.asarray(index @ ijk_to_scene[:3, :3].T + ijk_to_scene[:3, 3], dtype=np.float32)


def render(anatomy: Anatomy, scan: Scan, name: str) -> Picture:
    """Takes the image: the same anatomy and scan always give the same voxels.

    Args:
        anatomy: what is scanned.
        scan: how it is scanned.
        name: name of the volume.

    Returns:
        Image with whole-number voxels (stored as int16 without loss) and exact labels.
    """
    offsets = (np.arange(scan.sub_slices) + 0.5) / scan.sub_slices - 0.5
    centres_mm = voxel_centres_mm(scan.shape, scan.ijk_to_scene)
    painted, labels = anatomy.paint(centres_mm)
    if scan.sub_slices > 1:
        painted = np.mean(
            [anatomy.paint(voxel_centres_mm(scan.shape, scan.ijk_to_scene, offset))[0] for offset in offsets], axis=0
        )
    signal = ndimage.gaussian_filter(painted.reshape(scan.shape), scan.blur_voxels, mode="nearest")
    if scan.bias is not None:
        signal = signal * np.exp(scan.bias_strength * scan.bias(centres_mm)).reshape(scan.shape)
    stored = np.clip(np.rint(scan.gain * _with_noise(signal, scan)), -32768, 32767).astype(np.float32)
    return Picture(Volume(stored, scan.ijk_to_lps, name), labels.reshape(scan.shape))


def _with_noise(signal: NDArray[np.float32], scan: Scan) -> NDArray[np.float64]:
    random = np.random.default_rng(scan.noise_seed)
    real = signal + scan.noise * random.normal(size=signal.shape)
    if not scan.is_magnitude:
        return np.asarray(real, dtype=np.float64)
    return np.asarray(np.hypot(real, scan.noise * random.normal(size=signal.shape)), dtype=np.float64)
