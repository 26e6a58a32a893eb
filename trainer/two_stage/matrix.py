"""The runs of an experiment: for every number of labels and seed ten candidates, three baselines and one student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from trainer.config import require_known_datasets
from trainer.data.data_fingerprint import dataset_fingerprint
from trainer.data.dataset import VIEW_MARK, Dataset, read_dataset, require_masks, split_view
from trainer.data.image_source import read_image_source, without_labels
from trainer.experiment.run import Run
from trainer.identity.file_content import FileContents
from trainer.two_stage.division import Division, divide
from trainer.two_stage.material import Material, division_to_plain, read_material
from trainer.two_stage.run import JOINT, LONG, PRETRAINED, SCRATCH, TOGETHER
from trainer.two_stage.settings import Settings, settings_from_plain

STUDENT = "student"
TRAIN_ONE, DISTIL = "trainer.two_stage.run:train_one", "trainer.two_stage.run:distil"


@dataclass(frozen=True)
class Cell:
    """One number of labels and one seed.

    Attributes:
        labelled: number of labelled cases.
        seed: of labels, weights and draws.
        parameters: of the student; the other runs are without what concerns the student alone.
        division: of the target's cases.
    """

    labelled: int
    seed: int
    parameters: dict[str, Any]
    division: Division

    def name(self, method: str, pretext: str = "") -> str:
        """Of a run."""
        return "-".join([f"n{self.labelled}", f"s{self.seed}", method, *([pretext] if pretext else [])])

    def runs(self, pretexts: Sequence[str]) -> list[Run]:
        """The cell's runs; the student needs the ten candidates."""
        plain = [self._run(method) for method in (SCRATCH, LONG, TOGETHER)]
        candidates = self.candidates(pretexts)
        tens = [self._run(mode, pretext) for pretext, by_mode in candidates.items() for mode in by_mode]
        needs = tuple(run.name for run in tens)
        student = Run(
            self.name(STUDENT),
            DISTIL,
            self.parameters | {"method": STUDENT, "candidates": candidates},
            needs,
        )
        return [*plain, *tens, student]

    def candidates(self, pretexts: Sequence[str]) -> dict[str, dict[str, str]]:
        """Run name by mode, by auxiliary task."""
        return {p: {mode: self.name(mode, p) for mode in (JOINT, PRETRAINED)} for p in pretexts}

    def _run(self, method: str, pretext: str = "") -> Run:
        settings = settings_from_plain(self.parameters["settings"]).of_teachers().as_dict()
        parameters = self.parameters | {"settings": settings, "method": method, "pretext": pretext}
        return Run(self.name(method, pretext), TRAIN_ONE, parameters)


def make_cells(
    target: Path,
    unlabelled: Sequence[Path],
    labelled: Sequence[int | None],
    seeds: Sequence[int],
    settings: Settings,
    contents: FileContents | None = None,
) -> list[Cell]:
    """Divide the target for every number of labels and every seed, and check that all folders fit together.

    What all files hold is part of the cells' parameters, but for the labels of unlabelled cases: runs on other images
    or labels are other runs.

    Raises:
        DatasetError: no image is without a label, a folder is given twice or has another dimension, or the target is
            too small.
        UsageError: a number of labels or a seed is given twice, or a dataset to be mirrored is not there.
    """
    if len(set(labelled)) < len(labelled) or len(set(seeds)) < len(seeds) or not labelled or not seeds:
        raise UsageError("every number of labels and every seed is wanted once", remedy="Correct --labelled or --seeds")
    dataset = read_dataset(target)
    require_masks(dataset)
    others = [read_image_source(directory).dataset for directory in unlabelled]
    _require_different([dataset, *others])
    require_known_datasets(settings.training, [own.name for own in (dataset, *others)])
    _require_same_dimension(dataset, others)
    known = contents or FileContents()
    cells = []
    for count in labelled:
        for seed in seeds:
            division = divide(
                dataset,
                count,
                seed=seed,
                split_seed=settings.training.split_seed,
                test_fraction=settings.two_stage.test_fraction,
                validation_groups=settings.two_stage.validation_groups,
            )
            if not division.unlabelled and not others:
                raise DatasetError(
                    f"there are no unlabelled images: all {len(division.labelled)} cases are trained on with labels",
                    file=dataset.directory,
                    remedy="Give --unlabelled folders or a smaller number --labelled",
                )
            own = replace(settings, training=replace(settings.training, seed=seed))
            parameters = {
                "target": absolute(target),
                "unlabelled": [absolute(directory) for directory in unlabelled],
                "settings": own.as_dict(),
                "division": division_to_plain(division),
                "content": [dataset_fingerprint(s, known) for s in (_looked_at(dataset, division), *others)],
            }
            cells.append(Cell(len(division.labelled), seed, parameters, division))
    return cells


def prepare_cells(cells: Sequence[Cell], settings: Settings, cache: Path, stream: TextIO | None) -> list[Material]:
    """Prepare all images before the first run, so that runs side by side find them, and bad files show at once.

    Raises:
        DatasetError, InputError: a file cannot be used, or labelled cases show no structure.
    """
    own = [replace(settings, training=replace(settings.training, seed=cell.seed)) for cell in cells]
    return [read_material(cell.parameters, s, cache, stream) for cell, s in zip(cells, own, strict=True)]


def absolute(directory: Path) -> str:
    """The same folder and view for a process that was started elsewhere."""
    folder, words = split_view(directory)
    return str(folder.resolve()) + (VIEW_MARK + ",".join(words) if words else "")


def _looked_at(dataset: Dataset, division: Division) -> Dataset:
    """The dataset without labels that are never looked at."""
    bare = without_labels(replace(dataset, cases=division.unlabelled)).cases
    return replace(dataset, cases=(*division.labelled, *division.validation, *division.test, *bare))


def _require_different(datasets: Sequence[Dataset]) -> None:
    names = [dataset.name for dataset in datasets]
    if len(set(names)) < len(names):
        raise DatasetError(
            "a folder is given twice, or two have the same name",
            remedy="The target's unlabelled cases take part by themselves: leave it out of --unlabelled",
        )


def _require_same_dimension(target: Dataset, others: Sequence[Dataset]) -> None:
    is_planar = target.cases[0].read_image().is_planar
    for other in others:
        if other.cases[0].read_image().is_planar != is_planar:
            have, need = ("3-D", "2-D") if is_planar else ("2-D", "3-D")
            raise DatasetError(
                f"the unlabelled images are {have}, those of the target {need}",
                file=other.directory,
                remedy="Give images of the same dimension",
            )
