"""From a results folder of nnU-Net v2, or its exported zip file, to a model file; nothing is written on any refusal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.imported.imported_file import save_imported
from MultiTaskSegLib.runtime.imported.imported_manifest import (
    FORMAT_VERSION,
    IMAGE_SPACING,
    KIND,
    VALIDATION,
    Fold,
    ImportedManifest,
    Origin,
)
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from MultiTaskSegLib.runtime.model.model_folder import ENDING
from MultiTaskSegLib.runtime.naming.terminology import label_terminology
from MultiTaskSegLib.runtime.nnunet.plan_value import json_values
from MultiTaskSegLib.runtime.nnunet.plans import ModelPlan
from MultiTaskSegLib.runtime.nnunet.preparation_plan import CT, PreparationPlan
from MultiTaskSegLib.runtime.nnunet.results_source import ResultsSource, results_source
from MultiTaskSegLib.runtime.nnunet.trained_model import (
    ALL,
    LoadedModel,
    TrainedModel,
    load_trained_model,
    trained_models,
)

INTENDED_USE = "Research. Whoever trained the model knows for which images it was made; it is no medical device"
MAX_VALUE = 255
MAX_CASES, MAX_LETTERS = 5_000, 200_000
SPACING_OF_PLANS = "original_median_spacing_after_transp"
PREDICTION = re.compile(rb'"prediction_file"\s*:\s*("(?:[^"\\]|\\.)*")')
AXES, SMALLEST_MM, LARGEST_MM = 3, 1e-6, 1e6
PERCENTILES = (1.0, 99.0)

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Choice:
    """Which model of a folder is meant.

    Attributes:
        configuration: name of the configuration; None where there is only one model.
        folds: names of the folds; all numbered ones by default, as nnU-Net does.
        trainer, plans: names; where a configuration was trained in several ways.
    """

    configuration: str | None = None
    folds: tuple[str, ...] = ()
    trainer: str | None = None
    plans: str | None = None


def import_model(
    folder: Path, output: Path, choice: Choice, licence: str, name: str = "", progress: Progress | None = None
) -> tuple[ImportedManifest, str]:
    """Write the model file of a trained model.

    Args:
        folder: results folder, one above it, or zip file.
        output: ``NAME.mts.safetensors``.
        choice: which model.
        licence: of the weights; the importer says it.
        name: of the model; that of the output by default.
        progress: told the share done and the step's name.

    Returns:
        Its manifest and digest.

    Raises:
        UsageError: there is a choice that was not made, no such model or fold, or no licence.
        ModelError: the model is damaged, contradicts itself or is of a kind that is not supported.
        ResourceError: the file cannot be written.
    """
    tell = progress or _nobody
    if not licence.strip():
        raise UsageError("the licence of the weights is not stated", remedy="Say it with --licence, or 'unknown'")
    if not output.name.endswith(ENDING):
        raise UsageError(f"the model file {output.name} does not end in {ENDING}", remedy=f"Name it MODEL{ENDING}")
    tell(0.0, "reading the folder")
    source = results_source(folder)
    found = chosen_model(trained_models(source), choice, folder)
    tell(0.1, "reading weights")
    loaded = load_trained_model(source, found, choice.folds)
    manifest = manifest_of(loaded, licence.strip(), name.strip() or output.name.removesuffix(ENDING))
    said: dict[str, Any] = {}
    if spacing_mm := _image_spacing_mm(source, found):
        said[IMAGE_SPACING] = list(spacing_mm)
    if len(loaded.folds) == 1 and (cases := validation_cases(source, found, loaded.folds[0].fold)):
        said[VALIDATION] = list(cases)
    manifest = replace(manifest, training=said)
    tell(0.7, "writing the model")
    digest = save_imported(output, manifest, tuple(fold.network for fold in loaded.folds))
    tell(1.0, "done")
    return manifest, digest


def chosen_model(models: Sequence[TrainedModel], choice: Choice, folder: Path) -> TrainedModel:
    """The one model that is meant.

    Raises:
        UsageError: none is, or several are; they are listed.
    """
    wanted = {"configuration": choice.configuration, "trainer": choice.trainer, "plans": choice.plans}
    matching = [
        model for model in models if all(value is None or getattr(model, key) == value for key, value in wanted.items())
    ]
    if len(matching) == 1:
        return matching[0]
    listed = "; ".join(_shown(model) for model in matching or models)
    if not matching:
        raise UsageError(f"no model in {folder} is the one that is asked for", remedy=f"There are: {listed}")
    raise UsageError(
        f"there are {len(matching)} models in {folder}",
        remedy=f"Choose by --configuration, --plans or --trainer, or give the folder of one. There are: {listed}",
    )


def validation_cases(source: ResultsSource, model: TrainedModel, fold: str) -> tuple[str, ...]:
    """Names of the cases that a fold was not trained on, as its validation names them; none where there is none.

    Raises:
        ModelError: the file is not what nnU-Net writes.
    """
    place = model.place / f"fold_{fold}" / "validation" / "summary.json"
    # The fold of all cases is validated on those that it was trained on.
    if fold == ALL or place not in source.files():
        return ()
    ending = json_values(source.text(model.place / "dataset.json"), source.path / model.place).text("file_ending")
    # Of a hundred structures in a thousand cases the file has more figures than there is reason to read.
    try:
        files = [json.loads(name) for name in PREDICTION.findall(source.text(place))]
    except ValueError:
        files = []
    # Paths of the machine that trained, which may have been of another kind.
    names = tuple(re.split(r"[/\\]", file)[-1].removesuffix(ending) for file in files)
    if not names or len(names) > MAX_CASES or sum(map(len, names)) > MAX_LETTERS:
        raise ModelError(
            "the file is no list of validated cases", file=source.path / place, remedy="Validate again, or remove it"
        )
    return names


def _image_spacing_mm(source: ResultsSource, model: TrainedModel) -> tuple[float, ...]:
    """What the plans tell of the images of the training; nothing where they do not.

    Raises:
        ModelError: it is no spacing.
    """
    place = model.place / "plans.json"
    plans = json_values(source.text(place), source.path / place)
    if SPACING_OF_PLANS not in plans.values:
        return ()
    found = plans.numbers(SPACING_OF_PLANS)
    if len(found) != AXES or not all(SMALLEST_MM <= edge <= LARGEST_MM for edge in found):
        raise plans.refusal("is no spacing of three axes", SPACING_OF_PLANS)
    return found


def _shown(model: TrainedModel) -> str:
    text = f"{model.place} (folds {', '.join(model.folds)})"
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def manifest_of(loaded: LoadedModel, licence: str, name: str) -> ImportedManifest:
    """The description of a model that was read.

    Raises:
        ModelError: it has more labels than a label map of ours can hold.
    """
    folds = tuple(Fold(fold.fold, fold.checkpoint_name, fold.epochs) for fold in loaded.folds)
    return ImportedManifest(
        format_version=FORMAT_VERSION,
        kind=KIND,
        name=name,
        created_by=f"MultiTaskSeg {__version__}",
        intended_use=INTENDED_USE,
        licence=licence,
        origin=Origin(loaded.trainer, folds, loaded.mirror_axes),
        plan=loaded.plan,
        tasks=(_task(loaded.plan, licence),),
    )


def _task(plan: ModelPlan, licence: str) -> TaskInfo:
    structures = plan.structures
    modality = ", ".join(structures.channels)
    if too_large := [entry.name for entry in structures.entries if entry.painted > MAX_VALUE]:
        raise ModelError(
            f"the model paints {too_large[0]} with a label value above {MAX_VALUE}, which label maps here do not hold"
        )
    labels = []
    for entry in structures.entries:
        shown = label_terminology(plan.dataset, modality, "", entry.name)
        labels.append(LabelInfo(entry.painted, entry.name, shown.display_name, shown.colour, shown.terminology))
    task = TaskInfo(plan.dataset, modality, "", tuple(labels), profile_of(plan.preparation), 0, 1.0, licence, 0, 0)
    return replace(task, inputs=structures.channels, are_regions=structures.are_regions)


def profile_of(plan: PreparationPlan) -> Profile:
    """The grid and intensity scale on which the image's own statistics are taken: those of the network, in our terms.

    Axes are those of the stored image, as the plans know no others. In 2-D, where slices keep their distance, voxels
    are as thick as they are wide.
    """
    across = plan.spacing_mm if len(plan.spacing_mm) == 3 else (max(plan.spacing_mm), *plan.spacing_mm)
    z, y, x = (float(across[plan.transpose.index(axis)]) for axis in range(3))
    intensity, *further = (
        Intensity("range", rule.low, rule.high) if rule.scheme == CT else Intensity("percentile", *PERCENTILES)
        for rule in plan.normalisations
    )
    return Profile("imported", "spacing", intensity, spacing_zyx_mm=(z, y, x), further=tuple(further))


def _nobody(share: float, step: str) -> None:
    """Nobody wants to know."""
