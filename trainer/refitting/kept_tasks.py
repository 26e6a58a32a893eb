"""The whole of ``keep``: a model without the tasks that it does not do well enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo, needed_format, stems_of
from MultiTaskSegLib.runtime.model.model_file import Model
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.provenance import KEY, Provenance
from trainer.refitting.descent import DESCENT
from trainer.refitting.output_place import OutputPlace
from trainer.refitting.spectral_refit import KNOWS_IMAGES_OF, refit_of

LEFT_OUT = "left_out"
"""In the entry ``training``: by task that was trained on and left out, its Dice on held-out cases and their number."""
ROUNDING = 1e-9


def keep_tasks(
    model_path: Path,
    directories: Sequence[Path],
    output: Path,
    *,
    tasks: Sequence[str] = (),
    least_dice: float | None = None,
    images_of: Mapping[str, Path] | None = None,
    stream: TextIO | None = None,
) -> Manifest:
    """Write the model without some of its tasks.

    The outputs of the other tasks leave the network, so that no result can name them, and their images leave the
    reference, which is fitted anew: what the check said of the others rested on them. The weights of what is kept stay
    bit for bit what they were, and so, up to rounding, do the logits of a task that is told. Whom the network has seen,
    and under which licences, stays written down.

    Args:
        model_path: model to start from.
        directories: one folder per task that is kept, with the task's name.
        output: model file to write; may be ``model_path``.
        tasks: those to keep; none: all that reach ``least_dice``.
        least_dice: mean over a task's structures of the Dice on held-out cases, as the file states it.
        images_of: as of `refit_reference`.
        stream: for progress; standard error by default.

    Raises:
        UsageError: a name is not of the model, all tasks or none would be kept, or the check of a kept task knows other
            images than its own, which are not given.
        ModelError: the file states no Dice of a task, where that is to decide; or as `refit_reference`.
        DatasetError: as `refit_reference`.
    """
    place = OutputPlace.of(output)
    predictor = Predictor.load(model_path)
    manifest = predictor.manifest
    kept = _named(manifest, tasks) if least_dice is None else _good_enough(model_path, manifest, least_dice)
    if len(kept) in (0, len(manifest.tasks)):
        raise UsageError(
            f"{'every' if kept else 'no'} task of {manifest.name} would be kept",
            file=model_path,
            remedy="Use the model as it is" if kept else "Ask for less",
        )
    require_images(manifest, kept, images_of or {})
    return refit_of(
        Predictor(reduced(predictor.model, kept), predictor.device.type),
        directories,
        place,
        variant=manifest.ood.variant,
        layers=manifest.ood.layers,
        images_of=images_of,
        stream=stream,
    )


def mean_dice(task: TaskInfo, model_path: Path) -> float:
    """Over its structures, on held-out cases.

    Raises:
        ModelError: the file states none.
    """
    if not task.held_out_dice:
        raise ModelError(
            f"the file states no Dice of {task.name}", file=model_path, remedy="Name the tasks that are to be kept"
        )
    return sum(task.held_out_dice.values()) / len(task.held_out_dice)


def reduced(model: Model, kept: Sequence[str]) -> Model:
    """The model with these tasks alone, in the order of the file; its reference is still that of all tasks.

    Args:
        model: with more tasks.
        kept: names of the tasks to keep, at least one.

    Raises:
        ModelError: the model does not say whom it has seen.
    """
    before = model.manifest
    indices = [index for index, task in enumerate(before.tasks) if task.name in kept]
    tasks = [before.tasks[index] for index in indices]
    # Tasks may share outputs, which then stay once.
    outputs = sorted({channel for task in tasks for channel in range(task.channels.start, task.channels.stop)})
    stems = stems_of([task.inputs for task in tasks])
    architecture = replace(
        before.architecture, outputs=len(outputs), stems=tuple(max(1, len(names)) for names in stems)
    )
    network = SegmentationNetwork(architecture)
    sources = [before.stems.index(names) for names in stems]
    network.load_state_dict(_reduced_weights(model.network.state_dict(), outputs, sources))
    renumbered = tuple(replace(task, channel_start=outputs.index(task.channel_start)) for task in tasks)
    quality = before.quality and replace(before.quality, tasks=tuple(before.quality.tasks[index] for index in indices))
    manifest = replace(
        before,
        format_version=needed_format(renumbered),
        architecture=architecture,
        tasks=renumbered,
        training=_training(model, kept),
        quality=quality,
    )
    return replace(model, manifest=manifest, network=network.eval(), digest="")


def require_images(manifest: Manifest, kept: Sequence[str], given: Mapping[str, Path]) -> None:
    """Refuse to fit the check of a task on other images than before.

    Raises:
        UsageError: it knows other images than the task's own, which are not given.
    """
    said = _notes(manifest, KNOWS_IMAGES_OF)
    if missing := [name for name in kept if name in said and name not in given]:
        raise UsageError(
            f"the check knows images of {said[missing[0]]} in place of {missing[0]}",
            remedy=f"Give them: --images {missing[0]}=DIR",
        )


def _named(manifest: Manifest, names: Sequence[str]) -> list[str]:
    known = [task.name for task in manifest.tasks]
    if unknown := sorted(set(names) - set(known)):
        raise UsageError(f"the model has no task {', '.join(unknown)}", remedy=f"Its tasks are {', '.join(known)}")
    return [name for name in known if name in names]


def _good_enough(model_path: Path, manifest: Manifest, least_dice: float) -> list[str]:
    # A mean of three times 0.7 is a little less.
    return [task.name for task in manifest.tasks if mean_dice(task, model_path) >= least_dice - ROUNDING]


def _training(model: Model, kept: Sequence[str]) -> dict[str, object]:
    """The entry with what was left out. Figures of earlier files were measured among other tasks: they are none of this
    file."""
    manifest = model.manifest
    left = [task for task in manifest.tasks if task.name not in kept]
    figures = {task.name: {"held_out_dice": task.held_out_dice, "held_out_cases": task.held_out_cases} for task in left}
    before = {key: value for key, value in manifest.training.items() if key not in DESCENT}
    # Terms of trainings of earlier versions stand with the tasks, which leave: the record takes them in.
    return before | {KEY: Provenance.of(manifest).as_list(), LEFT_OUT: {**_notes(manifest, LEFT_OUT), **figures}}


def _notes(manifest: Manifest, key: str) -> Mapping[str, object]:
    """What a model file notes by task; notes may hold anything, and what is no object notes nothing."""
    said = manifest.training.get(key)
    return said if isinstance(said, dict) else {}


def _reduced_weights(weights: Mapping[str, Tensor], outputs: Sequence[int], stems: Sequence[int]) -> dict[str, Tensor]:
    """By name; the first stem is the finest stage's own."""
    rows = torch.tensor(outputs, dtype=torch.int64)
    names = ("encoder.0", *(f"stems.{index}" for index in range(len(weights))))
    result = {name: tensor for name, tensor in weights.items() if not name.startswith("stems.")}
    result |= {name: weights[name][rows] for name in ("head.weight", "head.bias")}
    for position, source in enumerate(stems):
        for part in ("first", "shortcut"):
            for kind in ("weight", "bias"):
                result[f"{names[position]}.{part}.{kind}"] = weights[f"{names[source]}.{part}.{kind}"]
    return result
