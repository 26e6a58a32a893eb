"""The whole of ``pretrain``: folders in, a model file to start from out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TextIO, get_args

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from trainer.config import TrainingConfig
from trainer.data.dataset import datasets_with_masks
from trainer.data.image_source import ImageSource, read_image_source
from trainer.pretraining.auxiliary_config import AuxiliaryConfig
from trainer.pretraining.pretext.catalogue import pretexts_named
from trainer.pretraining.pretext.classification import Classification
from trainer.pretraining.pretext.pretext import PretextTask
from trainer.pretraining.pretext_companion import ImagePool, finishing, pretext_companions
from trainer.report.run_folder import RunFolder
from trainer.snapshot.cycle import require_cycles
from trainer.training.recipe import IMAGES_ALONE, Recipe
from trainer.training.run_lock import run_held
from trainer.training.train_model import require_model_name, train_prepared
from trainer.training.training import Budget, PreparedData, prepare_data

SourceTask = Literal["segmentation", "classification", "self-supervised"]


def pretrain(
    directories: Sequence[Path],
    output: Path,
    task: SourceTask,
    config: TrainingConfig,
    budget: Budget,
    *,
    pretexts: Sequence[str] = (),
    auxiliary: AuxiliaryConfig | None = None,
    resume: bool = False,
    stream: TextIO | None = None,
    cache: Path | None = None,
) -> Manifest:
    """Pre-train one network and write an ordinary model file and its run folder.

    A network that was pre-trained without labels has tasks without labels: it recognises images (the spectral reference
    is fitted as usual) but segments nothing. Provenance (``training["pretraining"]``) says what was done.

    Args:
        directories: dataset folders; for ``self-supervised`` also folders of images.
        output: model file.
        task: ``segmentation`` is ordinary training; ``classification`` predicts the images' class (of a class folder,
            or else the dataset an image is from); ``self-supervised`` trains the ``pretexts`` together.
        config, budget: settings, and steps or minutes.
        pretexts: names of pretext tasks; empty: all of them.
        auxiliary: how many images a batch of a pretext task has; its weight plays no part here.
        resume: go on from the run folder's checkpoint.
        stream: for progress.
        cache: folder for prepared cases that several runs share; None: one of this run's own.

    Raises:
        UsageError: an unknown source or pretext task, or the training cannot leave so many snapshots.
        DatasetError: too few images, or fewer than two classes.
        FolderIsHeld: another process trains there.
    """
    if task not in get_args(SourceTask):
        raise UsageError(f"there is no source task {task!r}", remedy=f"Use one of {', '.join(get_args(SourceTask))}")
    if pretexts and task != "self-supervised":
        raise UsageError(f"pretext tasks have no part in {task}", remedy="Leave them out or use self-supervised")
    chosen = pretexts_named(pretexts)
    require_model_name(output)
    require_cycles(config, budget.steps, "" if task == "segmentation" else IMAGES_ALONE)
    folder = RunFolder(output, cache)
    with run_held(folder, stream=stream):
        if task == "segmentation":
            datasets = datasets_with_masks(directories)
            if not resume:
                folder.begin_anew()
            labelled = prepare_data(datasets, config, folder, stream)
            said = {"pretraining": {"task": task}}
            return train_prepared(labelled, output, config, budget, said=said, resume=resume, stream=stream)
        sources = [read_image_source(Path(directory)) for directory in directories]
        categories, classes = category_numbers(sources) if task == "classification" else ((), ())
        tasks: tuple[PretextTask, ...] = (Classification(len(classes)),) if classes else chosen
        if not resume:
            folder.begin_anew()
        data = prepare_data([source.dataset for source in sources], config, folder, stream)
        return _train_on_images(
            data, tasks, categories, output, config, budget, auxiliary or AuxiliaryConfig(), classes, resume, stream
        )


def category_numbers(
    sources: Sequence[ImageSource],
) -> tuple[tuple[Mapping[str, int], ...], tuple[str, ...]]:
    """Class numbers by source and case name, and the classes' names.

    Images of a source without classes are all of one class, named after the source.

    Raises:
        DatasetError: there are fewer than two classes, or a class has a single image.
    """
    named = [
        source.categories or {case.name: source.dataset.name for case in source.dataset.cases} for source in sources
    ]
    counts: dict[str, int] = {}
    for by_case in named:
        for category in by_case.values():
            counts[category] = counts.get(category, 0) + 1
    classes = tuple(sorted(counts))
    if len(classes) < 2:
        raise DatasetError("there are fewer than two classes of images", remedy="Give class folders or more datasets")
    lonely = [name for name in classes if counts[name] < 2]
    if lonely:
        raise DatasetError(f"class {lonely[0]} has one image only", remedy="Give more images of it or remove it")
    return tuple({case: classes.index(name) for case, name in by_case.items()} for by_case in named), classes


def _train_on_images(
    data: PreparedData,
    tasks: Sequence[PretextTask],
    categories: tuple[Mapping[str, int], ...],
    output: Path,
    config: TrainingConfig,
    budget: Budget,
    auxiliary: AuxiliaryConfig,
    classes: Sequence[str],
    resume: bool,
    stream: TextIO | None,
) -> Manifest:
    """Train on pretext tasks alone, each with the same weight, and write the model."""
    pool = ImagePool(data.plan.tasks, data.training, categories)
    share = 1.0 / len(tasks)
    companions = pretext_companions(
        tasks, pool, config, data.plan.architecture, auxiliary.images_per_step, lambda progress: share
    )
    names = [task.name for task in tasks]
    identity = {"pretraining": names, "images_per_step": auxiliary.images_per_step}
    recipe = Recipe(
        companions=companions,
        supervised=False,
        uses_labels=bool(classes),
        finish=finishing(companions),
        identity=identity,
    )
    source = {"task": "classification", "classes": list(classes)} if classes else {"task": "self-supervised"}
    said = {"pretraining": {**source, "pretexts": names, "images_per_step": auxiliary.images_per_step}}
    return train_prepared(data, output, config, budget, recipe=recipe, said=said, resume=resume, stream=stream)
