"""One labelled case against what the shipped pipeline makes of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.agreement.surface_distance import surface_distances
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.naming.spreadsheet_cell import spreadsheet_cell
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset
from trainer.data.label_pair import is_shared
from trainer.layout.case import Case
from trainer.metrics.case_overlap import masks_by_label
from trainer.metrics.overlap import mask_overlap, mean_defined

Unit = Literal["mm", "px"]
NAN = float("nan")


@dataclass(frozen=True)
class Agreement:
    """How far the result agrees with the truth of one label.

    Attributes:
        dice: NaN where neither truth nor result has the label.
        hausdorff95: 95th percentile of the distances between the surfaces, see `SurfaceDistances.hausdorff95_mm`; NaN
            where one of the two lacks the label.
        surface_dice: share of the surfaces within the tolerance of the case; 0 where one of the two lacks the label,
            NaN where both do.
        expected_dice: what the model expected the Dice to be; NaN where it expected nothing.
    """

    dice: float
    hausdorff95: float = NAN
    surface_dice: float = NAN
    expected_dice: float = NAN


@dataclass(frozen=True)
class CaseResult:
    """One evaluated case.

    Attributes:
        dataset, case, group: where it comes from.
        task: what the model took it for.
        labels: by label name.
        tolerance: of the surface Dice: the smallest edge of the image's voxels.
        unit: of distances; pixels where the image does not say how large they are.
        score, is_ood: of the out-of-distribution check.
        seconds: of the segmentation.
    """

    dataset: str
    case: str
    group: str
    task: str
    labels: dict[str, Agreement]
    tolerance: float
    unit: Unit
    score: float
    is_ood: bool
    seconds: float

    @property
    def mean_dice(self) -> float:
        """Mean over the labels that are in the truth or the result; NaN without any."""
        return mean_defined([label.dice for label in self.labels.values()])


def evaluate_case(predictor: Predictor, dataset: Dataset, case: Case, task: str) -> CaseResult:
    """Segment one case. A label that the recognised task does not have counts as not found.

    Raises:
        DatasetError: the label map does not lie on the image's grid, or holds values that are not declared.
        InputError: a file cannot be read.
    """
    volume, truth = case.read_pair(dataset.labels)
    result = predictor.segment(volume, task)
    spacing_zyx, unit = measured_spacing(volume)
    expected = _expected_dice(result)
    labels: dict[str, Agreement] = {}
    for name, own, other in compared_masks(predictor.manifest.tasks, result, truth, dataset.labels):
        surfaces = surface_distances(own, other, spacing_zyx)
        labels[name] = Agreement(
            mask_overlap(own, other).dice,
            surfaces.hausdorff95_mm,
            surfaces.surface_dice(min(spacing_zyx)),
            expected.get(name, NAN),
        )
    return CaseResult(
        dataset.name,
        case.name,
        case.group,
        result.task.name,
        labels,
        min(spacing_zyx),
        unit,
        result.checked.score,
        result.checked.is_ood,
        result.timings["total_s"],
    )


def compared_masks(
    tasks: Sequence[TaskInfo], result: Segmentation, truth: NDArray[np.integer], labels: Mapping[int, str]
) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """What is compared label by label, see `masks_by_label`.

    A task whose only label is called ``foreground`` stands for every label of a dataset where the head is shared by all
    tasks; beside tasks with labels of their own it is a task like them.

    Args:
        tasks: of the model.
        result: of one of them.
        truth: label values of the dataset ``(Z, Y, X)`` on the result's grid.
        labels: the dataset's label names by value.
    """
    task = result.task
    if is_shared(task) and not all(is_shared(one) for one in tasks) and "foreground" not in labels.values():
        task = replace(task, labels=())
    return masks_by_label(result.labels, task, truth, labels, result.regions)


def measured_spacing(volume: Volume) -> tuple[tuple[float, float, float], Unit]:
    """Edges of a voxel along the axes of the array and their unit: where the size of pixels is not known, the smallest
    edge is one pixel."""
    x, y, z = (float(edge) for edge in volume.spacing_mm)
    if volume.has_physical_size:
        return (z, y, x), "mm"
    smallest = min(x, y, z)
    return (z / smallest, y / smallest, x / smallest), "px"


def _expected_dice(result: Segmentation) -> dict[str, float]:
    names = {label.value: label.name for label in result.task.labels}
    return {names[value]: dice for value, dice in result.predicted_dice.items() if dice is not None}


def cases_csv(results: Sequence[CaseResult]) -> str:
    """One row per case and label."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["dataset", "case", "group", "task", "label", "dice", "hausdorff95", "surface_dice", "expected_dice",
         "tolerance", "unit", "ood_score", "is_ood", "seconds"]
    )  # fmt: skip
    for r in results:
        for name, label in r.labels.items():
            agreement = [label.dice, label.hausdorff95, label.surface_dice, label.expected_dice]
            row = [spreadsheet_cell(text) for text in (r.dataset, r.case, r.group, r.task, name)]
            row += [f"{value:.6f}" for value in agreement]
            row += [f"{r.tolerance:.6g}", r.unit, f"{r.score:.6f}", str(r.is_ood), f"{r.seconds:.3f}"]
            writer.writerow(row)
    return buffer.getvalue()


def ranked(results: Sequence[CaseResult]) -> list[CaseResult]:
    """Cases from the worst mean Dice to the best; those where nothing can be measured are left out."""
    return sorted((r for r in results if not np.isnan(r.mean_dice)), key=lambda r: (r.mean_dice, r.case))
