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
        ``(N,)``; NaN where nothing can be said, also when nobody but the patient is left out.
    """
    number = np.unique(np.array(patients, dtype=object), return_inverse=True)[1]
    kind = np.array(kinds, dtype=object)
    result = np.full(len(number), np.nan)

    def fill(left_out: Mask) -> None:
        """Predictions for images of these patients that have none yet."""
        for own in dict.fromkeys(kinds):
            wanted = left_out & (kind == own) & np.isnan(result)
            known = ~left_out & ((kind == CLEAN) | (kind != own) | faults_known)
            if wanted.any() and known.any():
                result[wanted] = foretell(known, wanted)

    fold = number % FOLDS
    for part in np.unique(fold):
        fill(fold == part)
    # Chance can deal all patients of a small task into one fold, and nothing is known of the task then.
    for patient in np.unique(number[np.isnan(result)]):
        fill(number == patient)
    return result
