"""From the settings to runs, with everything checked that can be checked before a training starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from trainer.config import TrainingConfig
from trainer.data.data_fingerprint import dataset_fingerprint
from trainer.data.dataset import VIEW_MARK, WITHOUT, Dataset, read_dataset, require_masks, split_view
from trainer.data.image_source import ImageSource, read_image_source, source_fingerprint
from trainer.data.split import Split, split_datasets
from trainer.experiment.run import Run
from trainer.identity.file_content import FileContents
from trainer.identity.fingerprint import fingerprint
from trainer.layout.case import Case
from trainer.pretraining.pretrain import category_numbers
from trainer.recommendation.predictor import PREDICTORS
from trainer.transfer.settings import SCRATCH, SourceSettings, TargetSettings, TransferPlan, is_same_data

PRETRAIN = "trainer.transfer.steps:pretrain_source"
FINETUNE = "trainer.transfer.steps:finetune_target"
PREDICT = "trainer.transfer.steps:predict_gain"


def make_runs(plan: TransferPlan, contents: FileContents | None = None) -> list[Run]:
    """Every pre-training, fine-tuning and prediction of the matrix, random initialisation included.

    The content of all files that a run reads is part of its parameters: on other images or labels it is another run.

    Args:
        plan: settings and folders.
        contents: knows what files hold.

    Raises:
        DatasetError: a folder is missing or too small, a target has no masks, a class has one image, or 2-D and 3-D
            images are mixed.
    """
    targets = {target.name: _read_target(plan, target) for target in plan.settings.targets}
    sources = {source.name: _read_source(plan, source) for source in plan.settings.sources}
    _require_one_dimension([*targets.values(), *(image.dataset for images in sources.values() for image in images)])
    held_out = {name: held_out_groups(dataset, plan.training) for name, dataset in targets.items()}
    known = contents or FileContents()
    excluded = {name: _excluded(images, targets, held_out) for name, images in sources.items()}
    content = {name: dataset_fingerprint(dataset, known) for name, dataset in targets.items()}
    content |= {name: fingerprint([source_fingerprint(i, known) for i in images]) for name, images in sources.items()}
    runs: list[Run] = []
    for seed in plan.settings.seeds:
        for source in plan.settings.sources:
            runs.append(_pretrain_run(plan, source, seed, excluded[source.name], content))
        for target in plan.settings.targets:
            runs.append(_finetune_run(plan, None, target, seed, content))
            for source in plan.settings.sources:
                if not is_same_data(source, target):
                    runs.append(_finetune_run(plan, source, target, seed, content))
                    runs.append(_predict_run(plan, source, target, seed, content))
    return runs


def finetune_name(target: TargetSettings, source: SourceSettings | None, seed: int) -> str:
    """Name of a fine-tuning run; without a source that of random initialisation."""
    return f"finetune-{target.name}-from-{source.name if source else SCRATCH}-s{seed}"


def predict_name(target: TargetSettings, source: SourceSettings, seed: int) -> str:
    """Name of a prediction run."""
    return f"predict-{target.name}-from-{source.name}-s{seed}"


def pretrain_name(source: SourceSettings, seed: int) -> str:
    """Name of a pre-training run."""
    return f"pretrain-{source.name}-s{seed}"


def split_of(dataset: Dataset, config: TrainingConfig) -> Split:
    """Training and held-out cases of a dataset that is trained on alone."""
    return split_datasets(
        [dataset],
        fraction=config.validation_fraction,
        minimum_groups=config.minimum_validation_groups,
        seed=config.split_seed,
    )[dataset.name]


def held_out_groups(dataset: Dataset, config: TrainingConfig) -> set[str]:
    """Groups of a target on which it is measured."""
    return {case.group for case in split_of(dataset, config).held_out}


def without_groups(folder: Path, groups: Sequence[str], listed: Path) -> Path:
    """The folder as a view without some groups, whose names are written to the file ``listed``.

    Raises:
        UsageError: the words of a view cannot hold its path.
    """
    if not groups:
        return folder
    require_listable(listed)
    listed.write_text("".join(f"{group}\n" for group in groups), encoding="utf-8")
    directory, words = split_view(folder)
    return Path(f"{directory}{VIEW_MARK}{','.join([*words, f'{WITHOUT}{listed}'])}")


def require_listable(path: Path) -> None:
    """Refuse a place for runs whose path would be taken for words of a view, see `without_groups`.

    Raises:
        UsageError: it has a comma or a view's mark.
    """
    if "," in str(path.absolute()) or VIEW_MARK in str(path.absolute()):
        raise UsageError(f"the path has a comma or {VIEW_MARK}", file=path, remedy="Give another folder with -o")


def _read_target(plan: TransferPlan, target: TargetSettings) -> Dataset:
    dataset = read_dataset(plan.folder(target.data))
    require_masks(dataset)
    split = split_of(dataset, plan.training)
    if not split.held_out or not split.training:
        raise DatasetError(
            f"target {target.name} has too few groups to hold one out", remedy="Give at least 3 groups (patients)"
        )
    if target.labelled_cases > len(split.training):
        raise DatasetError(
            f"target {target.name} has {len(split.training)} training cases, not {target.labelled_cases}",
            file=dataset.directory,
            remedy="Lower labelled_cases",
        )
    return dataset


def _read_source(plan: TransferPlan, source: SourceSettings) -> list[ImageSource]:
    folders = [plan.folder(data) for data in source.data]
    if source.task == "segmentation":
        datasets = [read_dataset(folder) for folder in folders]
        for dataset in datasets:
            require_masks(dataset)
        return [ImageSource(dataset) for dataset in datasets]
    images = [read_image_source(folder) for folder in folders]
    if source.task == "classification":
        category_numbers(images)
    return images


def _require_one_dimension(datasets: Sequence[Dataset]) -> None:
    planar: dict[bool, str] = {}
    for dataset in datasets:
        case: Case = dataset.cases[0]
        planar.setdefault(case.read_image().is_planar, dataset.name)
    if len(planar) > 1:
        raise DatasetError(
            f"2-D and 3-D images are mixed: {planar[True]} is 2-D, {planar[False]} is 3-D",
            remedy="Ask for slices of the volumes with '::axial', or make two experiments",
        )


def _excluded(
    images: Sequence[ImageSource], targets: dict[str, Dataset], held_out: dict[str, set[str]]
) -> list[list[str]]:
    """Per dataset of a source, the groups on which some target is measured: the same patients must not be seen."""
    lists = []
    for dataset in (image.dataset for image in images):
        groups = set(dataset.groups)
        shared = {group for name, target in targets.items() if groups & set(target.groups) for group in held_out[name]}
        lists.append(sorted(shared & groups))
    return lists


def _pretrain_run(
    plan: TransferPlan, source: SourceSettings, seed: int, excluded: list[list[str]], content: Mapping[str, str]
) -> Run:
    parameters: dict[str, Any] = {
        "task": source.task,
        "data": [str(plan.folder(data)) for data in source.data],
        "content": content[source.name],
        "excluded_groups": excluded,
        "pretexts": list(source.pretexts),
        "training": _training(plan, seed),
        "steps": plan.settings.pretrain_steps,
    }
    return Run(pretrain_name(source, seed), PRETRAIN, parameters)


def _finetune_run(
    plan: TransferPlan, source: SourceSettings | None, target: TargetSettings, seed: int, content: Mapping[str, str]
) -> Run:
    parameters: dict[str, Any] = {
        "data": str(plan.folder(target.data)),
        "content": content[target.name],
        "labelled_cases": target.labelled_cases,
        "lesions": target.lesions,
        "strategy": plan.settings.strategy if source else "all",
        "training": _training(plan, seed),
        "steps": plan.settings.finetune_steps,
    }
    needs = (pretrain_name(source, seed),) if source else ()
    return Run(finetune_name(target, source, seed), FINETUNE, parameters, needs)


def _predict_run(
    plan: TransferPlan, source: SourceSettings, target: TargetSettings, seed: int, content: Mapping[str, str]
) -> Run:
    parameters: dict[str, Any] = {
        "data": str(plan.folder(target.data)),
        "content": [content[target.name], content[source.name]],
        "source_data": [str(plan.folder(data)) for data in source.data],
        "source_task": source.task,
        "training": _training(plan, seed),
        "images": plan.settings.images_to_predict,
        "predictors": list(PREDICTORS),
    }
    return Run(predict_name(target, source, seed), PREDICT, parameters, (pretrain_name(source, seed),))


def _training(plan: TransferPlan, seed: int) -> dict[str, Any]:
    return plan.training.as_dict() | {"seed": seed}
