"""The whole of ``ood-benchmark``: how well the check tells known from foreign images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from scipy.stats import rankdata

from MultiTaskSegLib.runtime.errors import DatasetError, InputError
from MultiTaskSegLib.runtime.image_file import IMAGE_IO, image_ending, read_image
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.curves import ood_figure
from trainer.dataset import read_dataset
from trainer.evaluation import held_out_cases
from trainer.progress import Progress
from trainer.report import Report
from trainer.run_folder import write_json_file

BOOTSTRAP_ROUNDS = 1000


def auroc(known: Sequence[float], foreign: Sequence[float]) -> float:
    """Area under the ROC curve: the chance that a foreign image scores higher than a known one (ties count half).

    >>> auroc([1.0, 2.0], [2.0, 3.0])
    0.875
    """
    ranks = rankdata([*known, *foreign])
    n_known, n_foreign = len(known), len(foreign)
    return float((ranks[n_known:].sum() - n_foreign * (n_foreign + 1) / 2) / (n_known * n_foreign))


def false_positive_rate(known: Sequence[float], foreign: Sequence[float], kept: float = 0.95) -> float:
    """Share of foreign images accepted at the threshold that accepts ``kept`` of the known ones (FPR95)."""
    return float(np.mean(np.asarray(foreign) <= np.quantile(known, kept)))


def auroc_interval(
    known: Mapping[str, Sequence[float]], foreign: Mapping[str, Sequence[float]], rng: np.random.Generator
) -> tuple[float, float]:
    """95 % bootstrap interval; groups (patients, sources) are resampled, not images."""
    rounds = [auroc(_resample(known, rng), _resample(foreign, rng)) for _ in range(BOOTSTRAP_ROUNDS)]
    low, high = np.percentile(rounds, [2.5, 97.5])
    return float(low), float(high)


def run_benchmark(
    model: Path, known: Sequence[Path], foreign: Sequence[Path], output: Path, stream: TextIO | None = None
) -> dict[str, Any]:
    """Score held-out cases of ``known`` datasets and all images under ``foreign`` folders.

    Images of the other dimension than the model's (2-D or 3-D) are left out. Writes ``metrics.json`` and
    ``report.html`` to ``output``.

    Raises:
        DatasetError: one side is empty.
    """
    predictor = Predictor.load(model)
    known_paths = [
        (d.name, c.group, c.image) for p in known for d in [read_dataset(p)] for c in held_out_cases(d, predictor)
    ]
    foreign_paths = [(folder.name, path.stem, path) for root in foreign for folder, path in foreign_images(root)]
    progress = Progress(max(1, len(known_paths) + len(foreign_paths)), "scoring", stream)
    rows = []
    for number, (source, group, path) in enumerate([*known_paths, *foreign_paths], start=1):
        score = _score(predictor, path)
        if score is not None:
            rows.append(
                {"source": source, "group": group, "known": number <= len(known_paths), "image": path.name, **score}
            )
        progress.update(number)
    figures = summarise(rows, predictor.model.reference.threshold)
    write_json_file(output / "metrics.json", {"model": predictor.model.digest, **figures, "images": rows})
    _write_report(rows, figures, predictor.model.reference.threshold, output / "report.html")
    return figures


def foreign_images(root: Path) -> Iterator[tuple[Path, Path]]:
    """Folder and path of every image below ``root``; label files (``_label``) are left out."""
    if not root.is_dir():
        raise DatasetError("there is no such folder", file=root, remedy="Correct --ood")
    for path in sorted(root.rglob("*")):
        if path.is_file() and image_ending(path) in IMAGE_IO and "_label" not in path.name:
            yield path.parent, path


def summarise(rows: Sequence[Mapping[str, Any]], threshold: float) -> dict[str, Any]:
    """AUROC with interval, FPR95, and sensitivity and specificity at the shipped threshold."""
    known = [float(r["score"]) for r in rows if r["known"]]
    foreign = [float(r["score"]) for r in rows if not r["known"]]
    if not known or not foreign:
        raise DatasetError("one side of the benchmark has no image for this model", remedy="Check --in and --ood")
    grouped = [
        {g: [float(r["score"]) for r in rows if r["known"] is side and r["group"] == g] for g in _groups(rows, side)}
        for side in (True, False)
    ]
    low, high = auroc_interval(grouped[0], grouped[1], np.random.default_rng(0))
    return {
        "auroc": auroc(known, foreign),
        "auroc_interval": [low, high],
        "fpr95": false_positive_rate(known, foreign),
        "threshold": threshold,
        "sensitivity": float(np.mean(np.asarray(foreign) > threshold)),
        "specificity": float(np.mean(np.asarray(known) <= threshold)),
        "known_images": len(known),
        "foreign_images": len(foreign),
        "auroc_by_source": {
            s: auroc(known, [float(r["score"]) for r in rows if r["source"] == s and not r["known"]])
            for s in dict.fromkeys(r["source"] for r in rows if not r["known"])
        },
    }


def _groups(rows: Sequence[Mapping[str, Any]], known: bool) -> list[str]:
    return list(dict.fromkeys(str(r["group"]) for r in rows if r["known"] is known))


def _resample(groups: Mapping[str, Sequence[float]], rng: np.random.Generator) -> list[float]:
    names = list(groups)
    return [score for index in rng.integers(len(names), size=len(names)) for score in groups[names[index]]]


def _score(predictor: Predictor, path: Path) -> dict[str, Any] | None:
    volume = read_image(path)
    if volume.is_planar != predictor.manifest.is_planar:
        return None
    try:
        verdict = predictor.check(volume)
    except InputError:
        return None
    return {
        "score": verdict.score,
        "p_value": verdict.p_value,
        "is_ood": verdict.is_ood,
        "nearest": verdict.nearest_task,
    }


def _write_report(rows: Sequence[Mapping[str, Any]], figures: dict[str, Any], threshold: float, path: Path) -> None:
    sides = [
        {s: [float(r["score"]) for r in rows if r["source"] == s and r["known"] is side] for s in _sources(rows, side)}
        for side in (True, False)
    ]
    report = Report("Out-of-distribution benchmark")
    report.add_figure(ood_figure(sides[0], sides[1], threshold), "Score of every image; higher is more foreign")
    keys = ("auroc", "fpr95", "sensitivity", "specificity", "known_images", "foreign_images")
    report.add_table(["Figure", "Value"], [[key, figures[key]] for key in keys], "Figures")
    report.add_table(["Source", "AUROC"], [list(item) for item in figures["auroc_by_source"].items()], "By source")
    report.write(path)


def _sources(rows: Sequence[Mapping[str, Any]], known: bool) -> list[str]:
    return list(dict.fromkeys(str(r["source"]) for r in rows if r["known"] is known))
