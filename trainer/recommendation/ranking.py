"""The whole of ``recommend``: source models in, a ranking for a target out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from MultiTaskSegLib.runtime.errors import DatasetError, InputError, ModelError
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset
from trainer.data.image_source import read_image_source
from trainer.recommendation.predictor import DESCRIPTIONS, RICHNESS, SPECTRAL, predict_transfer
from trainer.report.progress import Progress
from trainer.report.report import Report
from trainer.report.run_folder import MODEL_SUFFIX, PREVIOUS, SNAPSHOTS, write_json_file

IMAGES = 24
# A twentieth of the typical distance between images of a task: only an image itself lies as near.
OWN_IMAGE = 3.0


@dataclass(frozen=True)
class Recommendation:
    """One source model.

    Attributes:
        path: model file.
        name: of the model.
        predictors: by name, see `DESCRIPTIONS`; empty for a model that cannot be used.
        trouble: why it cannot be used; empty when it can.
    """

    path: Path
    name: str
    predictors: dict[str, Any]
    trouble: str = ""

    @property
    def remark(self) -> str:
        """What a reader must know about it; empty for nothing."""
        if not self.trouble and self.predictors[SPECTRAL] > OWN_IMAGE:
            return "it was trained on these very images: its nearness says nothing"
        return f"cannot be used: {self.trouble}" if self.trouble else ""


def recommend(
    target: Path, models: Sequence[Path], *, images: int = IMAGES, stream: TextIO | None = None
) -> list[Recommendation]:
    """Rank source models for a target without training any; the most promising first.

    The order is that of the effective rank of the target's feature maps in each model, which foretold the gain better
    than nearness did (docs/transfer.md). No label is looked at. Models that cannot be used come last, with the reason.

    Args:
        target: dataset folder, or a folder of images.
        models: model files, or folders in which all model files count.
        images: of the target, at most.
        stream: for progress.

    Raises:
        DatasetError: the target has no image, or there is no model file.
    """
    dataset = read_image_source(target).dataset
    paths = model_files(models)
    progress = Progress(len(paths), "comparing", stream)
    found = []
    for path in paths:
        found.append(_judge(path, dataset, images))
        progress.update(len(found))
    return sorted(found, key=lambda r: -r.predictors[RICHNESS] if r.predictors else float("inf"))


def model_files(models: Sequence[Path]) -> list[Path]:
    """Model files, and those below folders, but for what trainings have left on their way to a model.

    Raises:
        DatasetError: there is none.
    """
    paths: list[Path] = []
    for path in models:
        below = sorted(path.rglob(f"*{MODEL_SUFFIX}"))
        models_alone = [own for own in below if own.parent.name.removeprefix(PREVIOUS) != SNAPSHOTS]
        paths += models_alone if path.is_dir() else [path]
    if not paths:
        raise DatasetError("there is no model file", file=models[0] if models else None, remedy="Correct --models")
    return list(dict.fromkeys(paths))


def write_recommendation(found: Sequence[Recommendation], target: Path, output: Path) -> None:
    """Write ``recommendation.json`` and ``report.html`` to a folder."""
    rows = [{"model": r.path.name, "name": r.name, "predictors": r.predictors, "trouble": r.trouble} for r in found]
    write_json_file(output / "recommendation.json", {"target": target.name, "ranking": rows})
    report = Report(f"Which model to start from for {target.name}")
    for text in DESCRIPTIONS.values():
        report.add_text(text)
    headers, table = ranking_table(found)
    report.add_table(headers, table, "The most promising first; the order is that of the effective rank")
    report.write(output / "report.html")


def ranking_table(found: Sequence[Recommendation]) -> tuple[list[str], list[list[str | float | int | None]]]:
    """Headers and rows."""
    rows: list[list[str | float | int | None]] = []
    for place, r in enumerate(found, start=1):
        figures = [r.predictors.get(name) for name in (RICHNESS, SPECTRAL, "cases")]
        where = f"{r.path.parent.name}/{r.path.name}"
        rows.append([where if r.trouble else f"{place}. {where}", r.name, *figures, r.remark])
    return ["Model", "Name", "Log effective rank", "Spectral nearness", "Log cases", "Remark"], rows


def _judge(path: Path, dataset: Dataset, images: int) -> Recommendation:
    try:
        predictor = Predictor.load(path)
        return Recommendation(
            path, predictor.manifest.name, predict_transfer(predictor, dataset, dataset.cases, images)
        )
    except (ModelError, InputError) as error:
        return Recommendation(path, "", {}, str(error))
