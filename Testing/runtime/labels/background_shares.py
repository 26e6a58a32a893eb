"""What labels remember of the background, as one array."""

from __future__ import annotations

import numpy as np

from MultiTaskSegLib.runtime.labels.label_stream import RunningLabels


def backgrounds(running: RunningLabels) -> np.ndarray:
    """Probability of the background at the labelled voxels, in the image's order; nothing where none is remembered."""
    found, remembered = running.index > 0, False
    shares = np.full(found.shape, np.nan, dtype=np.float32)
    for place, share in running.backgrounds():
        shares[place][found[place]], remembered = share, True
    return shares[found] if remembered else np.empty(0, np.float32)
