"""The check as it ships, with its limit and p-value, on images that chose neither."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstest

from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.signature import Variant, signature_spec
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.ood.catalogue import KNOWN, Entry
from trainer.ood.detector.sample import Sample
from trainer.ood.separation import mean_interval
from trainer.reference.spectral_reference import balanced_threshold, fit_reference


def shipped_figures(
    predictor: Predictor,
    known: Sequence[ReferenceImage],
    images: Sequence[tuple[Entry, Sample]],
    variant: Variant | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Specificity, sensitivity, recognition and the p-value's uniformity.

    The scores of known images depend on training images alone. Limit and p-value, which come from known images, are
    fitted for each patient on all the others, so that no image is judged by a limit that it helped to choose.

    Args:
        predictor: gives the kind of signature.
        known: training and held-out images.
        images: what is judged; those of the family ``known`` are the held-out ones.
        variant: of the signature, on its default layers; None for the model's own.
        seed: of the bootstrap over groups that gives the intervals.
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
    kept, p_values = cross_fitted(logs, tasks, groups)
    uniform = kstest(p_values, "uniform")
    foreign = [(entry, score > reference.threshold) for entry, score, _ in judged if entry.family != KNOWN]
    rng = np.random.default_rng(seed)
    specificity = float(kept.mean())
    return {
        "variant": spec.variant,
        "layers": list(spec.layers),
        "threshold": reference.threshold,
        "specificity": specificity,
        "specificity_interval": _interval([(entry, k) for (entry, _, _), k in zip(inside, kept, strict=True)], rng),
        "specificity_by_task": {name: float(kept[tasks == t].mean()) for t, name in enumerate(names)},
        "known_images": len(inside),
        "recognised": float(np.mean([task == entry.task for entry, _, task in inside])),
        "recognised_by_task": {n: float(np.mean([t == n for e, _, t in inside if e.task == n])) for n in names},
        "p_value_uniformity": {"statistic": float(uniform.statistic), "p": float(uniform.pvalue)},
        **_sensitivity(foreign, specificity, rng),
    }


def _sensitivity(
    foreign: Sequence[tuple[Entry, bool]], specificity: float, rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    families = {
        f: [pair for pair in foreign if pair[0].family == f] for f in dict.fromkeys(e.family for e, _ in foreign)
    }
    shares = {family: _share(pairs) for family, pairs in families.items()}
    return {
        "sensitivity": shares,
        "sensitivity_interval": {family: _interval(pairs, rng) for family, pairs in families.items()},
        "balanced_accuracy": {family: (specificity + share) / 2 for family, share in shares.items()},
        "sensitivity_by_source": {
            f"{family}: {source}": _share([pair for pair in pairs if pair[0].source == source])
            for family, pairs in families.items()
            for source in dict.fromkeys(entry.source for entry, _ in pairs)
        },
    }


def _share(judged: Sequence[tuple[Entry, bool]]) -> float:
    return float(np.mean([found for _, found in judged]))


def _interval(judged: Sequence[tuple[Entry, bool]], rng: np.random.Generator) -> tuple[float, float]:
    """95 % bootstrap interval of the share, over groups."""
    groups: dict[str, list[float]] = {}
    for entry, found in judged:
        groups.setdefault(f"{entry.task}/{entry.group}", []).append(float(found))
    return mean_interval(groups, rng)


def judge(reference: SpectralReference, sample: Sample) -> tuple[float, str]:
    """Score and nearest task under the profile that fits best, as `Predictor` does it."""
    verdicts = [
        reference.judge(attempt.observed(reference.spec.layers), among=list(attempt.outputs))
        for attempt in sample.attempts
    ]
    best = min(verdicts, key=lambda verdict: verdict.score)
    return best.score, best.nearest_task


def cross_fitted(
    log_scores: NDArray[np.float64], tasks: NDArray[np.int64], groups: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each image is accepted, and its p-value, by limit and scores of the other groups.

    Args:
        log_scores, tasks, groups: ``(K,)`` of held-out images.
    """
    kept, p_values = np.empty(len(log_scores), dtype=bool), np.empty(len(log_scores))
    for index, group in enumerate(groups):
        others = np.array([g != group for g in groups])
        limit = balanced_threshold(log_scores[others], tasks[others], [g for g in groups if g != group])
        kept[index] = log_scores[index] <= limit
        p_values[index] = (1 + np.count_nonzero(log_scores[others] >= log_scores[index])) / (1 + others.sum())
    return kept, p_values
