"""What a fitted confidence says of images of patients, and with faults, that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.failure.measured_image import CLEAN

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
FOLDS = 10
"""Patients are dealt into at most so many."""


def cross_fitted(
    patients: Sequence[str],
    kinds: Sequence[str],
    foretell: Callable[[Mask, Mask], Floats],
    *,
    faults_known: bool = False,
) -> Floats:
    """Predictions for every image by fits on images of other patients with other kinds of artefacts.

    Users meet faults that nobody has thought of: a fit that has seen the kind in other patients flatters. Clean images
    are always among those that are fitted on.

    Args:
        patients: by image.
        kinds: of artefact, by image.
        foretell: given which images to fit on and which to predict, both ``(N,)``, the predictions of the latter; NaN
            where nothing can be said.
        faults_known: fit on other patients' images with the same kind of artefact, too, as the literature does.

    Returns:
        ``(N,)``; NaN for images of a patient who is alone.
    """
    names = sorted(set(patients))
    fold = np.array([names.index(name) for name in patients]) % max(1, min(FOLDS, len(names)))
    kind = np.array(kinds, dtype=object)
    result = np.full(len(fold), np.nan)
    for part in np.unique(fold):
        for own in dict.fromkeys(kinds):
            wanted = (fold == part) & (kind == own)
            known = (fold != part) & ((kind == CLEAN) | (kind != own) | faults_known)
            if wanted.any() and known.any():
                result[wanted] = foretell(known, wanted)
    return result
