"""A labelled case on the network's grid: the image prepared as at inference, the label beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.preparation import Prepared, prepare
from MultiTaskSegLib.runtime.image.profile import Profile
from trainer.data.label_resampling import resample_labels
from trainer.layout.case import Case

PREPARED_BY = 5
"""Part of the name of whatever is kept on disk and comes from prepared images; rises with every change of how images
are read or brought onto the network's grid, so that nothing an earlier version made is used any more."""


def read_prepared(
    case: Case,
    profile: Profile,
    labels: Collection[int],
    relabel: Callable[[NDArray[np.integer]], NDArray[np.uint8]],
) -> tuple[Prepared, NDArray[np.uint8]]:
    """Read a case and bring image and label onto the profile's grid.

    Args:
        case: the files.
        profile: grid and intensity scale.
        labels: label values that the dataset names, or its regions.
        relabel: the file's label values to those wanted.

    Returns:
        The network input, and uint8 labels ``(Z, Y, X)`` on its grid.

    Raises:
        DatasetError: the label map does not lie on the image's grid, or holds other values.
        InputError: a file cannot be read.
    """
    volume, stored = case.read_pair(labels)
    prepared = prepare(volume, profile)
    canonical = np.asarray(prepared.canonical(relabel(stored)))
    return prepared, resample_labels(canonical, prepared.grid_shape).astype(np.uint8)
