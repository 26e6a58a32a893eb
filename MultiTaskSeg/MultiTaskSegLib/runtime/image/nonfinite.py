"""Voxels that are no finite number: few are mended, more are refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.nifti_integrity import MAX_NONFINITE_FRACTION


def mend_nonfinite(
    voxels: NDArray[np.float32], name: str, known_index: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Replace up to 0.1 % of NaN or infinite voxels by the smallest finite value.

    Args:
        voxels: ``(Z, Y, X)``; not changed.
        name: the file, for the message.
        known_index: int64 ``(n,)``, flat places of voxels that count as not finite whatever they hold now.

    Returns:
        The voxels, and a sentence about it where any was replaced.

    Raises:
        InputError: there are more of them.
    """
    flat = voxels.reshape(-1)
    if not flat.size:
        return voxels, ()
    # Quick, and without a copy: NaN or infinity would be the smallest or the largest value.
    if (known_index is None or not known_index.size) and np.isfinite(flat.min()) and np.isfinite(flat.max()):
        return voxels, ()
    bad = np.union1d([] if known_index is None else known_index, np.flatnonzero(~np.isfinite(flat))).astype(np.int64)
    if bad.size > MAX_NONFINITE_FRACTION * flat.size:
        raise InputError(
            f"{100 * bad.size / flat.size:.3g} % or more of the voxels are NaN or infinite",
            file=name or None,
            remedy="Replace them or export the image again",
        )
    mended = flat.copy()
    mended[bad] = np.delete(flat, bad).min()
    return mended.reshape(voxels.shape), (
        f"{bad.size} NaN or infinite voxels were replaced by the smallest finite value",
    )
