"""The check as it ships: its limit, its recognition and its p-value, on images that chose none of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.signature import Variant, signature_spec
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.metrics.interval import share_interval
from trainer.ood.catalogue import KNOWN, Entry
from trainer.ood.detector.sample import Sample
from trainer.ood.p_value import KnownScores, uniformity_within_tasks
from trainer.reference.spectral_reference import balanced_threshold, fit_reference


def shipped_figures(
    predictor: Predictor,
    known: Sequence[ReferenceImage],
    images: Sequence[tuple[Entry, Sample]],
    variant: Variant | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Specificity, sensitivity, recognition, and whether the p-value is uniform within every task.

    The scores of known images depend on training images alone. The limit, which comes from known images, is fitted for
    each patient on all the others, so that no image is judged by a limit that it helped to choose. Each task's p-values
    are calibrated on the other tasks' patients, see `uniformity_within_tasks`.

    Args:
        predictor: gives the kind of signature.
        known: training and held-out images.
        images: what is judged; those of the family ``known`` are the held-out ones.
        variant: of the signature, on its default layers; None for the model's own.
        seed: of the permutations that judge the p-value.
    """
    manifest = predictor.manifest
    names = [task.name for task in manifest.tasks]
    spec = manifest.ood.spec if variant is None else signature_spec(manifest.architecture, variant)
    reference = fit_reference(spec, names, known)
    judged = [(entry, *judge(reference, sample)) for entry, sample in images]
    inside = [(entry, score, task) for entry, score, task in judged if entry.family == KNOWN]
    logs = np.log([score for _, score, _ in inside])
    tasks = np.array([names.index(entry.task) for entry, _, _ in inside])
    groups = [f"{entry.group}" for entry, _, _ in inside]
    kept = cross_fitted(logs, tasks, groups)
    scored = KnownScores(logs, tuple(entry.task for entry, _, _ in inside), tuple(groups))
    foreign = [(entry, score > reference.threshold) for entry, score, _ in judged if entry.family != KNOWN]
    specificity = float(kept.mean())
    return {
        "variant": spec.variant,
        "layers": list(spec.layers),
        "threshold": reference.threshold,
        "specificity": specificity,
        "specificity_interval": share_interval(kept.tolist(), groups),
        "specificity_by_task": {name: float(kept[tasks == t].mean()) for t, name in enumerate(names)},
        "known_images": len(inside),
        "recognised": float(np.mean([task == entry.task for entry, _, task in inside])),
        "recognised_by_task": {n: float(np.mean([t == n for e, _, t in inside if e.task == n])) for n in names},
        "p_value_within_tasks": uniformity_within_tasks(scored, scored, np.random.default_rng(seed)),
        **_sensitivity(foreign, specificity),
    }


def _sensitivity(foreign: Sequence[tuple[Entry, bool]], specificity: float) -> dict[str, dict[str, Any]]:
    families = {
        f: [pair for pair in foreign if pair[0].family == f] for f in dict.fromkeys(e.family for e, _ in foreign)
    }
    shares = {family: _share(pairs) for family, pairs in families.items()}
    sources = {
        f"{family}: {source}": [pair for pair in pairs if pair[0].source == source]
        for family, pairs in families.items()
        for source in dict.fromkeys(entry.source for entry, _ in pairs)
    }
    return {
        "sensitivity": shares,
        "sensitivity_interval": {family: _interval(pairs) for family, pairs in families.items()},
        "balanced_accuracy": {family: (specificity + share) / 2 for family, share in shares.items()},
        "sensitivity_by_source": {name: _share(pairs) for name, pairs in sources.items()},
        "sensitivity_interval_by_source": {name: _interval(pairs) for name, pairs in sources.items()},
    }


def _share(judged: Sequence[tuple[Entry, bool]]) -> float:
    return float(np.mean([found for _, found in judged]))


def _interval(judged: Sequence[tuple[Entry, bool]]) -> tuple[float, float]:
    """95 % interval of the share of flagged images."""
    return share_interval([found for _, found in judged], [entry.group for entry, _ in judged])


def judge(reference: SpectralReference, sample: Sample) -> tuple[float, str]:
    """Score and nearest task under the profile that fits best, as `Predictor` does it."""
    verdicts = [
        reference.judge(attempt.observed(reference.spec.layers), among=list(attempt.outputs))
        for attempt in sample.attempts
    ]
    best = min(verdicts, key=lambda verdict: verdict.score)
    return best.score, best.nearest_task


def cross_fitted(log_scores: NDArray[np.float64], tasks: NDArray[np.int64], groups: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each image is accepted by the limit of the other groups.

    Args:
        log_scores, tasks, groups: ``(K,)`` of held-out images.
    """
    kept = np.empty(len(log_scores), dtype=bool)
    for index, group in enumerate(groups):
        others = np.array([g != group for g in groups])
        limit = balanced_threshold(log_scores[others], tasks[others], [g for g in groups if g != group])
        kept[index] = log_scores[index] <= limit
    return kept
