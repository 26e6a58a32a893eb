"""The commands ``reference``, ``calibrate``, ``quality``, ``keep``, ``average``, ``describe``: parts of a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.cli_environment import require_model_place, require_not_released, tell

if TYPE_CHECKING:
    from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
    from MultiTaskSegLib.runtime.model.manifest import Manifest

VARIANTS = ("composite", "whitened", "multilayer", "paper")


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's sub-commands."""
    _add_reference(commands)
    _add_calibrate(commands)
    _add_quality(commands)
    _add_keep(commands)
    _add_average(commands)
    _add_describe(commands)


def _add_reference(commands: Any) -> None:
    reference = commands.add_parser("reference", help="fit the spectral reference of a model anew")
    reference.add_argument("-m", "--model", type=Path, required=True)
    reference.add_argument("--data", type=Path, nargs="*", default=(), metavar="DIR")
    reference.add_argument(
        "--images", nargs="*", default=(), metavar="TASK=DIR", help="images without labels in place of a task's own"
    )
    reference.add_argument("-o", "--output", type=Path, metavar="MODEL", help="default: replace the model file")
    reference.add_argument("--variant", choices=VARIANTS, help="default: composite")
    reference.add_argument("--layers", nargs="*", default=(), metavar="LAYER")
    reference.add_argument(
        "--held-out", nargs="*", default=(), metavar="CASE", help="of an imported model: cases that no fold has seen"
    )
    words = "only the limits, from the same images: weights and reference stay as they are"
    reference.add_argument("--limits-only", action="store_true", help=words)
    reference.set_defaults(command=_reference)


def _add_calibrate(commands: Any) -> None:
    calibrate = commands.add_parser("calibrate", help="fit the temperatures of a model anew on its held-out cases")
    calibrate.add_argument("-m", "--model", type=Path, required=True)
    calibrate.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    calibrate.add_argument("-o", "--output", type=Path, metavar="MODEL", help="default: replace the model file")
    calibrate.set_defaults(command=_calibrate)


def _add_quality(commands: Any) -> None:
    words = "learn on a model's held-out cases, also spoilt ones, how good its results are"
    quality = commands.add_parser("quality", help=words)
    quality.add_argument("-m", "--model", type=Path, required=True)
    quality.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    quality.add_argument("-o", "--output", type=Path, metavar="MODEL", help="default: replace the model file")
    quality.add_argument("--faults", type=int, default=45, help="spoilt images of each task (default 45)")
    quality.add_argument("--seed", type=int, default=0, help="of the faults (default 0)")
    quality.set_defaults(command=_quality)


def _add_keep(commands: Any) -> None:
    keep = commands.add_parser("keep", help="write a model without the tasks that it does not do well enough")
    keep.add_argument("-m", "--model", type=Path, required=True)
    keep.add_argument("--data", type=Path, nargs="*", default=(), metavar="DIR", help="of the tasks that are kept")
    keep.add_argument(
        "--images", nargs="*", default=(), metavar="TASK=DIR", help="images without labels in place of a task's own"
    )
    which = keep.add_mutually_exclusive_group(required=True)
    which.add_argument("--tasks", nargs="+", default=(), metavar="TASK", help="those to keep")
    which.add_argument("--least-dice", type=float, metavar="DICE", help="keep those with this mean Dice, held out")
    keep.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL")
    keep.set_defaults(command=_keep)


def _add_average(commands: Any) -> None:
    average = commands.add_parser("average", help="average a fine-tuned model with the one that it was started from")
    average.add_argument("-m", "--model", type=Path, required=True)
    average.add_argument("--start", type=Path, required=True, metavar="MODEL", help="that the fine-tuning began with")
    average.add_argument("--share", type=float, default=0.5, help="of the fine-tuned weights (default 0.5)")
    average.add_argument("--data", type=Path, nargs="*", default=(), metavar="DIR")
    average.add_argument(
        "--images", nargs="*", default=(), metavar="TASK=DIR", help="images without labels in place of a task's own"
    )
    average.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL")
    average.set_defaults(command=_average)


def _add_describe(commands: Any) -> None:
    describe = commands.add_parser("describe", help="write licences and origin of the data into a model anew")
    describe.add_argument("-m", "--model", type=Path, required=True)
    describe.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    describe.add_argument("-o", "--output", type=Path, metavar="MODEL", help="default: replace the model file")
    describe.set_defaults(command=_describe)


def _target(options: argparse.Namespace) -> Path:
    """Where the changed model goes: by default where it came from, but for the released ones.

    Raises:
        UsageError, ResourceError: as `require_model_place`.
    """
    model: Path = options.model
    if options.output is None:
        require_not_released(model)
        return model
    output: Path = options.output
    require_model_place(output)
    return output


def _reference(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.model.model_card import check_text
    from trainer.refitting.limit_refit import refit_limits
    from trainer.refitting.new_reference import fit_new_reference
    from trainer.refitting.standing_in import images_by_task

    target, layers = _target(options), tuple(options.layers)
    if options.limits_only and (options.variant or layers or options.images or options.held_out):
        raise UsageError(
            "--limits-only keeps signature and images",
            remedy="Leave out --variant, --layers, --images and --held-out",
        )
    manifest: Manifest | ImportedManifest
    if options.limits_only:
        manifest = refit_limits(options.model, options.data, target)
    else:
        wanted: dict[str, Any] = {"variant": options.variant or "composite", "layers": layers}
        wanted |= {"held_out": options.held_out, "images_of": images_by_task(options.images)}
        manifest = fit_new_reference(options.model, options.data, target, **wanted)
    assert manifest.ood is not None
    tell(check_text(manifest.ood, len(manifest.tasks)), f"model: {target}")
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from trainer.refitting.recalibration import refit_calibration

    target = _target(options)
    for task in refit_calibration(options.model, options.data, target).tasks:
        before, after = task.calibration["ece_uncalibrated"], task.calibration["ece"]
        near = f"{task.surface_temperature:.2f} near the surface" if task.surface_temperature else "everywhere"
        figures = f"temperature {task.temperature:.2f}, {near}; ECE {before:.3f} before, {after:.3f} after"
        tell(f"{task.name}: {figures}")
    tell(f"model: {target}")
    return 0


def _quality(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.model.model_card import quality_line
    from trainer.refitting.quality_refit import refit_quality

    if options.faults < 0 or options.seed < 0:
        raise UsageError("the number of faults or the seed is negative", remedy="Use 0 or more")
    target = _target(options)
    manifest = refit_quality(options.model, options.data, target, faults=options.faults, seed=options.seed)
    for task in manifest.tasks:
        tell(f"{task.name}: {quality_line(manifest.quality_of(task)).strip()}")
    tell(f"model: {target}")
    return 0


def _keep(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.model.model_card import check_text, left_out_text
    from trainer.refitting.kept_tasks import keep_tasks
    from trainer.refitting.standing_in import images_by_task

    if options.least_dice is not None and not 0 < options.least_dice <= 1:
        raise UsageError(f"--least-dice {options.least_dice:g} is no Dice", remedy="Use a value above 0, up to 1")
    target = _target(options)
    manifest = keep_tasks(
        options.model,
        options.data,
        target,
        tasks=options.tasks,
        least_dice=options.least_dice,
        images_of=images_by_task(options.images),
    )
    kept = ", ".join(task.name for task in manifest.tasks)
    check = check_text(manifest.ood, len(manifest.tasks))
    tell(f"kept: {kept}", left_out_text(manifest), check, f"model: {target}")
    return 0


def _average(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.model.model_card import check_text
    from trainer.refitting.averaged_weights import average_weights
    from trainer.refitting.standing_in import images_by_task

    target = _target(options)
    manifest = average_weights(
        options.model,
        options.start,
        options.data,
        target,
        share=options.share,
        images_of=images_by_task(options.images),
    )
    for task in manifest.tasks:
        by_label = "; ".join(f"{label} {value:.3f}" for label, value in task.held_out_dice.items())
        tell(f"{task.name}: Dice of {task.held_out_cases} held-out cases: {by_label or 'not measured'}")
    tell(check_text(manifest.ood, len(manifest.tasks)), f"model: {target}")
    return 0


def _describe(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.model.weights_licence import weights_licence
    from trainer.refitting.description import describe

    target = _target(options)
    licence = weights_licence(describe(options.model, options.data, target)).text()
    tell(f"licence of the weights: {licence}", f"model: {target}")
    return 0
