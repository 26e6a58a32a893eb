"""The reference of a check with a limit for each task."""

from __future__ import annotations

from collections.abc import Sequence

from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from trainer.reference.law_fitting import fit_limits
from trainer.reference.left_out_score import LeftOutScores, left_out_scores
from trainer.reference.spectral_reference import fit_reference, with_limits


def limited_reference(
    spec: SignatureSpec, task_names: Sequence[str], images: Sequence[ReferenceImage]
) -> tuple[SpectralReference, LeftOutScores]:
    """Fit reference and limits.

    Args:
        spec: the signature.
        task_names: by task index.
        images: training and held-out images.

    Returns:
        The reference with limits, and the scores that these come from.

    Raises:
        ModelError: as `fit_reference`.
    """
    reference = fit_reference(spec, task_names, images)
    scores = left_out_scores(spec, reference, images)
    return with_limits(reference, fit_limits(scores, len(task_names))), scores
