"""Is the place of a shift found? Foreign patches and metal streaks are inserted; the map must tell where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.preparation import Prepared, prepare
from MultiTaskSegLib.runtime.image.resampling import resample_linear
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.network.architecture import Triple
from MultiTaskSegLib.runtime.ood.cell_features import cell_size
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import read_dataset
from trainer.data.provenance import unseen
from trainer.layout.case import Case
from trainer.metrics.interval import PatientDraws, drawn_interval, mean_interval
from trainer.metrics.weighted_figure import mean_of_defined, weighted_mean
from trainer.ood.fault.insertion import apply_patch, apply_streak, draw_patch, draw_streak
from trainer.ood.separation import auroc
from trainer.report.run_folder import write_json_file

COVERED_SHARE = 0.5
"""A cell counts as inserted when at least this share of it was changed, and as original when nothing of it was."""
KINDS = ("patch", "streak")
IMAGES_PER_TASK = 6
ROUNDS = 1000


def measure_localisation(
    predictor: Predictor,
    known: Sequence[Path],
    foreign: Sequence[Path],
    output: Path,
    *,
    seed: int = 0,
    images_per_task: int = IMAGES_PER_TASK,
    source: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Insert a foreign patch, and a metal streak, into held-out images of each task and write figures as JSON.

    The AUROC of an image tells inserted from original cells by the map that the shipped pipeline gives for it, the task
    being recognised from the altered image. The control is the same for the map of the image before the insertion: what
    the place alone gives away, because insertions lie in the body and much of an image is empty. A task's figure is the
    mean over its images, one per patient, its interval Student's; the overall figure is the mean over the tasks, whose
    interval comes from drawing patients.

    Args:
        predictor: its model must have memories of cells.
        known: datasets of the model's tasks; one held-out image per group is used.
        foreign: images from which patches are taken.
        output: JSON file to write.
        seed: of the insertions and of the patients drawn.
        images_per_task: at most this many.
        source: command, commit and machine, for the record.

    Raises:
        DatasetError: there is no image on one side.
        ModelError: the model has no memories.
    """
    if not known or not foreign:
        raise DatasetError("known datasets and foreign images are needed", remedy="Give both")
    sources = [read_image(path) for path in foreign]
    rows: list[dict[str, Any]] = []
    for number, directory in enumerate(known):
        rng = np.random.default_rng([seed, number])
        rows.extend(_rows_of_dataset(predictor, directory, sources, rng, images_per_task))
    figures = {**(source or {}), "model": predictor.model.digest, "seed": seed, **summarise(rows, seed), "images": rows}
    write_json_file(output, figures)
    return figures


def summarise(rows: Sequence[Mapping[str, Any]], seed: int = 0) -> dict[str, Any]:
    """AUROC and control by kind of insertion: by task and as mean over the tasks, with interval and number of images.

    Args:
        rows: with ``task``, ``group``, ``kind``, ``auroc`` and ``control``.
        seed: of the draws.
    """
    draws = PatientDraws([row["group"] for row in rows], np.random.default_rng(seed), ROUNDS)
    kinds = dict.fromkeys(row["kind"] for row in rows)
    return {kind: _of_kind([row for row in rows if row["kind"] == kind], draws) for kind in kinds}


def _of_kind(rows: Sequence[Mapping[str, Any]], draws: PatientDraws) -> dict[str, Any]:
    by_task: dict[str, Any] = {}
    rounds = []
    for task in dict.fromkeys(row["task"] for row in rows):
        own = [row for row in rows if row["task"] == task]
        values = np.array([row["auroc"] for row in own], dtype=np.float64)
        rounds.append(weighted_mean(draws.weights([row["group"] for row in own]), values))
        found = mean_interval(values.tolist(), bounds=(0.0, 1.0))
        control = float(np.mean([row["control"] for row in own]))
        interval = None if found.low is None else [found.low, found.high]
        by_task[task] = {"auroc": found.value, "interval": interval, "control": control, "images": len(own)}
    means_over_tasks = {n: float(np.mean([t[n] for t in by_task.values()])) for n in ("auroc", "control")}
    overall = drawn_interval(mean_of_defined(np.stack(rounds)), len({row["group"] for row in rows}))
    return {**means_over_tasks, "interval": overall and list(overall), "by_task": by_task}


def cell_auroc(
    rarity: NDArray[np.floating], inserted: NDArray[np.bool_], prepared: Prepared, cell: Triple
) -> float | None:
    """How well a map tells the cells that were inserted from the original ones; None where no cell is mainly inserted.

    Args:
        rarity: ``(Z, Y, X)`` on the image's grid.
        inserted: ``(Z, Y, X)`` on the image's grid.
        prepared: the network input of the image.
        cell: voxels of the network's grid per cell.
    """
    values, covered = (mean_by_cell(array.astype(np.float32), prepared, cell) for array in (rarity, inserted))
    foreign, original = values[covered >= COVERED_SHARE], values[covered == 0]
    if not foreign.size or not original.size:
        return None
    return auroc(original.tolist(), foreign.tolist())


def mean_by_cell(array: NDArray[np.float32], prepared: Prepared, cell: Triple) -> NDArray[np.float64]:
    """Mean by cell of an array on the image's grid; cells at the far end may be cut off."""
    canonical = np.ascontiguousarray(prepared.canonical(array), dtype=np.float32)
    result = resample_linear(canonical, prepared.voxels.shape).astype(np.float64)
    for axis, count in enumerate(cell):
        starts = np.arange(0, result.shape[axis], count)
        sizes = np.diff(np.append(starts, result.shape[axis]))
        result = np.add.reduceat(result, starts, axis=axis) / sizes.reshape([-1 if a == axis else 1 for a in range(3)])
    return np.asarray(result)


def _rows_of_dataset(
    predictor: Predictor, directory: Path, sources: Sequence[Volume], rng: np.random.Generator, most: int
) -> Iterator[dict[str, Any]]:
    dataset = read_dataset(directory)
    cell = cell_size(predictor.manifest.architecture)
    profile = predictor.manifest.task(dataset.name).profile
    for number, case in enumerate(_one_per_group(unseen(dataset, predictor.manifest), most)):
        volume = case.read_image()
        source = sources[number % len(sources)]
        before = predictor.locate(volume)[1]
        for kind in KINDS:
            altered, inserted = _altered(kind, volume, source, rng)
            verdict, rarity = predictor.locate(replace(altered, name=volume.name))
            prepared = prepare(altered, profile)
            found, control = (cell_auroc(values, inserted, prepared, cell) for values in (rarity, before))
            if found is not None:
                yield {
                    "task": dataset.name,
                    "image": case.name,
                    "group": case.group,
                    "kind": kind,
                    "source": source.name if kind == "patch" else "",
                    "auroc": found,
                    "control": control,
                    "recognised": verdict.nearest_task,
                    "is_ood": verdict.is_ood,
                }


def _altered(kind: str, volume: Volume, source: Volume, rng: np.random.Generator) -> tuple[Volume, NDArray[np.bool_]]:
    if kind == "patch":
        return apply_patch(draw_patch(rng, volume, source), volume, source)
    return apply_streak(draw_streak(rng, volume), volume)


def _one_per_group(cases: Sequence[Case], most: int) -> list[Case]:
    """At most ``most`` cases of different groups, spread evenly over all."""
    first = list({case.group: case for case in reversed(cases)}.values())[::-1]
    chosen = np.linspace(0, max(0, len(first) - 1), min(most, len(first))).astype(int)
    return [first[index] for index in dict.fromkeys(chosen.tolist())]
