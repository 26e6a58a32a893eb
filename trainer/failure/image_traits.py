"""What the maps of one segmentation say about the whole image: what the runtime looks at, and what takes more maps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from MultiTaskSegLib.runtime.labels import image_traits as one_pass
from MultiTaskSegLib.runtime.labels.connected_component import connected_pieces
from MultiTaskSegLib.runtime.labels.labelling import Labelling
from MultiTaskSegLib.runtime.labels.surface_band import near_surface
from MultiTaskSegLib.runtime.quality.trait_names import Traits

PATCH_VOXELS = 10
"""Edge of a patch, in voxels of the image's own grid, as in Zenk et al. 2025."""

Floats = NDArray[np.float64]


def image_traits(maps: Labelling) -> Traits:
    """Figures of an image from its labels, uncertainty and confidence ``(Z, Y, X)``.

    Entropy is that of the calibrated probabilities, 0 to 1. The boundary is what lies within two voxels of a predicted
    surface; the foreground is all that got a label. Where the uncertainty lies tells more than how much of it there is
    (the spatial aggregators of "Better than Average", arXiv 2603.29941): hence its share away from the boundary.

    Args:
        maps: of the image, as `MultiTaskSegLib.runtime.labels.labelling.finished` gives them.
    """
    found, entropy = maps.labels > 0, maps.uncertainty
    boundary = near_surface(np.ascontiguousarray(maps.labels))
    count, share_outside = _pieces(found)
    own = one_pass.image_traits(maps.labels, entropy, maps.confidence, maps.predicted_dice.values(), None)
    return {
        **{name: value for name, value in own.items() if name != "log_score"},
        "entropy_non_boundary": _mean(entropy, ~boundary),
        "entropy_background": _mean(entropy, ~found & ~boundary),
        "entropy_worst_patch": float(patch_means(entropy).max()),
        "entropy_share_off_boundary": _ratio(entropy[~boundary].sum(dtype=np.float64), entropy.sum(dtype=np.float64)),
        "confidence_worst_patch": float(patch_means(maps.confidence).min()),
        "foreground_share": float(found.mean()),
        "pieces": float(count),
        "share_outside_largest_piece": share_outside,
    }


def patch_means(values: NDArray[np.floating]) -> Floats:
    """Means over all patches of `PATCH_VOXELS` along each axis, or of the whole axis where it is shorter.

    Args:
        values: ``(Z, Y, X)``.

    Returns:
        one value for each place where a patch lies wholly inside.
    """
    sizes = [min(PATCH_VOXELS, length) for length in values.shape]
    means: Floats = uniform_filter(values, sizes, output=np.float64)
    inside = (slice(size // 2, size // 2 + n - size + 1) for n, size in zip(values.shape, sizes, strict=True))
    return np.asarray(means[tuple(inside)])


def label_volumes_ml(maps: Labelling, voxel_ml: float) -> Mapping[int, float]:
    """Volume of each label in millilitres, by label value.

    Args:
        maps: of the image.
        voxel_ml: volume of a voxel in millilitres.
    """
    counts = np.bincount(maps.labels.ravel(), minlength=256)
    return {value: float(counts[value]) * voxel_ml for value in maps.predicted_dice}


def _mean(values: NDArray[np.floating], where: NDArray[np.bool_]) -> float:
    return float(values[where].mean(dtype=np.float64)) if where.any() else float("nan")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _pieces(found: NDArray[np.bool_]) -> tuple[int, float]:
    """How many pieces the foreground has, and the share of it that lies outside the largest."""
    pieces, count = connected_pieces(found)
    if not count:
        return 0, float("nan")
    sizes = np.bincount(pieces[found])
    return count, float(1 - sizes.max() / sizes.sum())
