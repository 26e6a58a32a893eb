"""The check as it ships: its limits, its recognition and its p-value, on images that chose none of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec, Variant, signature_spec
from trainer.metrics.interval import share_interval
from trainer.ood.catalogue import KNOWN, Entry, Subject
from trainer.ood.detector.sample import Sample
from trainer.ood.feature_store import reference_of
from trainer.ood.p_value import uniformity_of_laws
from trainer.reference.encoder_signature import encoder_spec
from trainer.reference.law_fitting import false_alarms, fit_limits, left_out_p_values
from trainer.reference.left_out_score import LeftOutScores, left_out_scores
from trainer.reference.spectral_reference import fit_reference


def shipped_figures(
    predictor: Subject,
    known: Sequence[ReferenceImage],
    images: Sequence[tuple[Entry, Sample]],
    variant: Variant | None = None,
) -> dict[str, Any]:
    """Specificity, sensitivity, recognition, false alarms, and whether the p-value is uniform within every task.

    The scores of held-out images depend on training images alone. Limits, which come from known images, are fitted for
    each patient on all the others, so that no image is judged by a limit that it helped to choose. ``false_alarms``
    counts training images, too, each scored by a reference that was fitted without its patient; they are judged by
    their own task's limit, and so are the p-values.

    Args:
        predictor: gives the kind of signature.
        known: training and held-out images.
        images: what is judged; those of the family ``known`` are the held-out ones.
        variant: of the signature, on its default layers; None for the model's own.
    """
    manifest = predictor.manifest
    names = [task.name for task in manifest.tasks]
    spec = reference_of(predictor).spec if variant is None else _spec(manifest, variant)
    reference = fit_reference(spec, names, known)
    scores = left_out_scores(spec, reference, known)
    limits = fit_limits(scores, len(names))
    judged = [(entry, *judge(reference, sample)) for entry, sample in images]
    inside = [(entry, score, task) for entry, score, task in judged if entry.family == KNOWN]
    groups = [entry.group for entry, _, _ in inside]
    kept = accepted_by_others(
        scores, [(group, names.index(n), s) for group, (_, s, n) in zip(groups, inside, strict=True)]
    )
    foreign = [(e, score > limits.limit(names.index(task))) for e, score, task in judged if e.family != KNOWN]
    specificity = float(kept.mean())
    return {
        "variant": spec.variant,
        "layers": list(spec.layers),
        "limits": {name: limits.limit(task) for task, name in enumerate(names)},
        "tail_share": limits.tail_share,
        "specificity": specificity,
        "specificity_interval": share_interval(kept.tolist(), groups),
        "specificity_by_task": {
            name: float(np.mean([k for k, (entry, _, _) in zip(kept, inside, strict=True) if entry.task == name]))
            for name in names
        },
        "known_images": len(inside),
        "recognised": float(np.mean([task == entry.task for entry, _, task in inside])),
        "recognised_by_task": {n: float(np.mean([t == n for e, _, t in inside if e.task == n])) for n in names},
        "false_alarms": _false_alarms(scores, names),
        "p_value_within_tasks": uniformity_of_laws(
            left_out_p_values(scores, len(names)), [names[task] for task in scores.tasks], scores.groups
        ),
        **_sensitivity(foreign, specificity),
    }


def _spec(manifest: Manifest | ImportedManifest, variant: Variant) -> SignatureSpec:
    """Of a variant with its default layers, of those that are looked at."""
    if isinstance(manifest, ImportedManifest):
        return encoder_spec(manifest, variant, ())
    return signature_spec(manifest.architecture, variant)


def _false_alarms(scores: LeftOutScores, names: Sequence[str]) -> dict[str, Any]:
    """Of all known images, each without its patient, together and by task."""
    flagged = false_alarms(scores, len(names))
    groups = np.array(scores.groups)

    def figures(chosen: NDArray[np.bool_]) -> dict[str, Any]:
        """Of some of the images."""
        own = groups[chosen].tolist()
        rate, interval = float(flagged[chosen].mean()), share_interval(flagged[chosen].tolist(), own)
        return {"rate": rate, "interval": interval, "images": len(own), "patients": len(set(own))}

    by_task = {name: figures(scores.tasks == task) for task, name in enumerate(names)}
    return figures(np.ones(len(groups), dtype=bool)) | {"by_task": by_task}


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


def accepted_by_others(scores: LeftOutScores, judged: Sequence[tuple[str, int, float]]) -> NDArray[np.bool_]:
    """Whether each image is accepted by the limit that the other patients give its nearest task.

    Args:
        scores: of all known images.
        judged: patient, index of the nearest task, and score.
    """
    groups, tasks = np.array(scores.groups), 1 + int(scores.tasks.max())
    limits = {group: fit_limits(scores.where(groups != group), tasks) for group in {group for group, _, _ in judged}}
    return np.array([score <= limits[group].limit(task) for group, task, score in judged])
