"""Images and labels of one run: the same plan and prepared cases for every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from trainer.data.case_cache import PreparedCase, prepare_cases
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.image_source import read_image_source, without_labels
from trainer.data.planning import TaskPlan, make_plan
from trainer.data.split import Split
from trainer.layout.case import Case
from trainer.pretraining.pretext_companion import ImagePool
from trainer.training.training import PreparedData, prepare_splits
from trainer.two_stage.division import Division, unseen_images
from trainer.two_stage.settings import Settings


@dataclass(frozen=True)
class Material:
    """What a run learns from and is measured on.

    Attributes:
        dataset: the target.
        division: of its cases.
        data: plan, labelled cases (training) and validation cases (held out).
        pool: every image that may be learnt from without its label, the labelled ones included; the target comes first.
    """

    dataset: Dataset
    division: Division
    data: PreparedData
    pool: ImagePool

    @property
    def data_for_student(self) -> PreparedData:
        """With the target's unlabelled images, which the student learns from and its spectral reference is to know."""
        labelled = {case.name for case in self.division.labelled}
        rest = [case for case in self.pool.cases[0] if case.case.name not in labelled]
        return replace(self.data, unlabelled=(rest,))

    @property
    def target_pool(self) -> ImagePool:
        """The target's images alone."""
        return ImagePool(self.pool.tasks[:1], self.pool.cases[:1])


def division_to_plain(division: Division) -> dict[str, list[str]]:
    """Case names by part, for a run's parameters."""
    parts = ("labelled", "validation", "unlabelled", "test")
    return {part: [case.name for case in getattr(division, part)] for part in parts}


def division_from_plain(plain: Mapping[str, Sequence[str]], dataset: Dataset) -> Division:
    """The division of `division_to_plain`.

    Raises:
        DatasetError: a case is no longer there.
    """
    by_name = {case.name: case for case in dataset.cases}
    missing = sorted(name for names in plain.values() for name in names if name not in by_name)
    if missing:
        raise DatasetError(f"case {missing[0]} is no longer there", file=dataset.directory, remedy="Put it back")
    labelled, validation, unlabelled, test = (
        tuple(by_name[name] for name in plain[part]) for part in ("labelled", "validation", "unlabelled", "test")
    )
    return Division(labelled, validation, unlabelled, test)


def read_material(
    parameters: Mapping[str, Any], settings: Settings, cache: Path, stream: TextIO | None = None
) -> Material:
    """Read and prepare everything that a run's parameters name.

    The plan is made from the labelled cases alone: labels of other cases are not looked at, not even for a range of
    intensities.

    Args:
        parameters: ``target``, ``unlabelled`` and ``division``.
        settings: of the experiment, with the run's seed.
        cache: prepared cases are kept and found there.
        stream: for progress.

    Raises:
        DatasetError, InputError: a folder or file cannot be used.
    """
    dataset = read_dataset(Path(parameters["target"]))
    division = division_from_plain(parameters["division"], dataset)
    plan = make_plan([replace(dataset, cases=division.labelled)], settings.training)
    data = prepare_splits(plan, {dataset.name: Split(division.labelled, division.validation)}, cache, stream)
    _require_structures(data.training[0], "labelled", dataset)
    _require_structures(data.held_out[0], "validation", dataset)
    own = replace(dataset, cases=(*division.labelled, *division.unlabelled))
    others = [read_image_source(Path(directory)).dataset for directory in parameters["unlabelled"]]
    sources = [without_labels(own), *unseen_images(others, division)]
    tasks = tuple(_bare_task(plan.tasks[0], source) for source in sources)
    cases = tuple(prepare_cases(task, task.dataset.cases, cache) for task in tasks)
    return Material(dataset, division, data, ImagePool(tasks, cases))


def _require_structures(cases: Sequence[PreparedCase], part: str, dataset: Dataset) -> None:
    if not any(case.points for case in cases):
        raise DatasetError(
            f"none of the {len(cases)} {part} cases shows a structure",
            file=dataset.directory,
            remedy="Use more of them or another seed",
        )


def _bare_task(target: TaskPlan, source: Dataset) -> TaskPlan:
    """Images of a source as the target's network sees them, without a label."""
    profile = _profile_for(target.profile, source.cases[:1])
    return TaskPlan(source, profile, target.start, (), (), target.patch_zyx, ())


def _profile_for(profile: Profile, cases: Sequence[Case]) -> Profile:
    """The target's grid; its scale of intensities only where the images are on it."""
    if all(profile.suits(case.read_image()) for case in cases):
        return profile
    return replace(profile, name=f"{profile.name}_percentile", intensity=Intensity("percentile", 1.0, 99.5))
