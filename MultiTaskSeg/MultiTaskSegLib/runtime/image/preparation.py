"""From an image to the network's input and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, prod

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.input_frame import InputFrame, input_frame
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile, Triple
from MultiTaskSegLib.runtime.image.resampling import resample_linear, resampling_bytes
from MultiTaskSegLib.runtime.image.volume import Volume

# Copies of the image while its values are scaled.
SCALING_COPIES = 2
# Enough to know percentiles by.
SAMPLED_VOXELS = 2_000_000
# A sample that meets fewer columns of an image, so many apart or more, may see its margin and little else.
FEWEST_COLUMNS, FAR_APART = 8, 8


@dataclass(frozen=True)
class Prepared:
    """Network input with what is needed to bring results back.

    Attributes:
        voxels: float32 in [0, 1] on the profile's grid: ``(Z, Y, X)``, of several channels ``(C, Z, Y, X)``.
        frame: from the stored array to the profile's grid.
    """

    voxels: NDArray[np.float32]
    frame: InputFrame

    @property
    def grid_shape(self) -> Triple:
        """``(Z, Y, X)`` of the profile's grid."""
        z, y, x = self.voxels.shape[-3:]
        return z, y, x

    @property
    def canonical_shape(self) -> Triple:
        """``(Z, Y, X)`` of the canonical array without the air around it, before resampling."""
        return self.frame.window.shape

    def canonical(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Stored array ``(Z, Y, X)`` to the canonical one of ``canonical_shape``, as a view."""
        return self.frame.window.cut(self.frame.reorientation.apply(array))

    def restore(self, array: NDArray[np.generic], outside: float = 0) -> NDArray[np.generic]:
        """Canonical array of ``canonical_shape`` to the stored order and size of the input.

        Args:
            array: ``(Z, Y, X)``.
            outside: value of the air around it that the network has not seen.
        """
        return np.ascontiguousarray(self.frame.reorientation.invert(self.frame.window.embed(array, outside)))


def prepare(volume: Volume, profile: Profile) -> Prepared:
    """Reorient a volume, cut off the air around it, resample and scale it for the network.

    All channels go the same way; what lies outside the content of all of them is cut off. Each has an intensity scale
    of its own.

    Raises:
        InputError: a channel is constant, so there is nothing to see, the image is so small that nothing is left of it,
            or it has another number of channels than the profile's.
    """
    require_channels(volume, profile)
    frame = input_frame(volume, profile)
    scales = _scales(volume, profile)
    if volume.channel_count == 1:
        return Prepared(_scaled(volume, volume.voxels, scales[0], frame), frame)
    voxels = np.empty((volume.channel_count, *frame.grid_shape), dtype=np.float32)
    for number, (channel, intensity) in enumerate(zip(volume.channels, scales, strict=True)):
        voxels[number] = _scaled(volume, channel, intensity, frame, f"channel {number + 1} of the image")
    return Prepared(voxels, frame)


def _scales(volume: Volume, profile: Profile) -> Sequence[Intensity]:
    """How the values of each channel are scaled: of a part of an image, by the limits that the whole of it has."""
    whole = volume.whole
    if whole is None:
        return profile.intensities
    frame = input_frame(whole, profile)
    return [
        own if own.method == "range" else _limits(_on_grid(channel, frame), own)
        for channel, own in zip(whole.channels, profile.intensities, strict=True)
    ]


def require_channels(volume: Volume, profile: Profile) -> None:
    """Refuse an image with another number of channels than a profile's images have.

    Raises:
        InputError: it has.
    """
    if volume.channel_count != profile.channel_count:
        raise InputError(
            f"the image has {volume.channel_count} channels, images for {profile.name} have {profile.channel_count}",
            file=volume.name or None,
            remedy="Give as many channels as the task takes",
        )


def _scaled(
    volume: Volume, channel: NDArray[np.float32], intensity: Intensity, frame: InputFrame, what: str = "the image"
) -> NDArray[np.float32]:
    """One channel on the profile's grid."""
    grid = _on_grid(channel, frame)
    if grid.min() == grid.max() and channel.min() < channel.max():
        raise _too_small(volume)
    if volume.whole is not None:
        what = f"what is seen of {what} around the region"
    return scale_intensity(grid, intensity, volume.name, what)


def _on_grid(channel: NDArray[np.float32], frame: InputFrame) -> NDArray[np.float32]:
    canonical = np.asarray(frame.window.cut(frame.reorientation.apply(channel)), dtype=np.float32)
    return resample_linear(canonical, frame.grid_shape)


def _too_small(volume: Volume) -> InputError:
    sizes = [f"{mm:.3g}" for mm in volume.spacing_mm]
    extents = [f"{mm * count:.3g}" for mm, count in zip(volume.spacing_mm, reversed(volume.shape), strict=True)]
    return InputError(
        f"nothing is left of the image on the model's grid: with a voxel size of {' x '.join(sizes)} mm "
        f"the field of view is {' x '.join(extents)} mm",
        file=volume.name or None,
        remedy="Correct the voxel size in the header; it may be in another unit than millimetres",
    )


def preparing_bytes(frame: InputFrame, channels: int = 1) -> int:
    """What `prepare` takes at most, with its result and without the image."""
    grid = 4 * prod(frame.grid_shape)
    resampled = 0 if frame.grid_shape == frame.window.shape else grid
    # The image on its grid, less the lowest value, scaled, and clipped.
    one = max(resampling_bytes(frame.window.shape, frame.grid_shape), resampled + SCALING_COPIES * grid)
    # Channels are made one after the other and put where they stay.
    return one if channels == 1 else one + channels * grid


def restoring_bytes(frame: InputFrame, value_bytes: int) -> int:
    """What `Prepared.restore` takes at most, with its result, for values of so many bytes that lie in order."""
    is_cut = prod(frame.window.shape) < prod(frame.window.whole)
    is_turned = not frame.reorientation.is_identity
    return value_bytes * prod(frame.window.whole) * (is_cut + is_turned)


def scale_intensity(
    array: NDArray[np.float32], intensity: Intensity, name: str = "", what: str = "the image"
) -> NDArray[np.float32]:
    """Map values to [0, 1] and clip; ``what`` is how messages call the array, ``name`` the file.

    Raises:
        InputError: the scaled image is constant.
    """
    limits = _limits(array, intensity)
    low, high = limits.low, limits.high
    scale = np.float32(1.0 / (high - low) if high > low else 0.0)
    scaled: NDArray[np.float32] = np.clip((array - np.float32(low)) * scale, 0.0, 1.0)
    if not float(scaled.max()) > float(scaled.min()):
        raise InputError(
            f"{what} is constant", file=name or None, remedy="Choose an image, or a part of it, that shows something"
        )
    return scaled.astype(np.float32, copy=False)


def _limits(array: NDArray[np.float32], intensity: Intensity) -> Intensity:
    """The values that become 0 and 1, as a range."""
    if intensity.method == "range":
        return intensity
    low, high = (float(v) for v in np.percentile(spread_sample(array), (intensity.low, intensity.high)))
    if not high > low:
        low, high = float(array.min()), float(array.max())
    return Intensity("range", low, high)


def spread_sample(array: NDArray[np.float32], limit: int = SAMPLED_VOXELS) -> NDArray[np.float32]:
    """Evenly spaced voxels, ``(N,)``: percentiles of a large volume need no more.

    Args:
        array: ``(..., X)``.
        limit: how many, about.
    """
    flat, columns = array.reshape(-1), array.shape[-1]
    step = max(1, flat.size // limit)
    # A step that has much in common with a row comes to the same few columns in each: to one, if it is a row long.
    while (apart := gcd(step, columns)) > FAR_APART and columns // apart < FEWEST_COLUMNS:
        step += 1
    return flat[::step]
