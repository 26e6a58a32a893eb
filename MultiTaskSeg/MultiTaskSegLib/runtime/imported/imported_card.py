"""The card of an imported model: who trained it, who may use it, what was measured and what not."""

from __future__ import annotations

from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.model_card import card_text, check_text, quality_line
from MultiTaskSegLib.runtime.ood.verdict import NOT_CHECKED

SHOWN_LABELS = 12


def imported_card(manifest: ImportedManifest, digest: str) -> str:
    """Plain text for people; every figure comes from the manifest."""
    plan, origin, (task,) = manifest.plan, manifest.origin, manifest.tasks
    folds = ", ".join(f"{fold.name} ({fold.epochs} epochs, {fold.checkpoint})" for fold in origin.folds)
    spacing = " x ".join(f"{edge:g}" for edge in plan.preparation.spacing_mm)
    patch = " x ".join(map(str, plan.preparation.patch))
    lines = [
        f"{manifest.name} (imported from nnU-Net v2, {manifest.created_by})",
        f"SHA-256 {digest}",
        f"Intended use: {manifest.intended_use}",
        f"Origin: {plan.dataset}, {plan.plans}, {plan.configuration}, trained by {origin.trainer}; folds {folds}",
        f"Licence, as stated at the import: {manifest.licence}",
        f"Network: {plan.network.kind} U-Net of {len(plan.network.features)} stages, "
        f"{plan.network.dimension}-D patches of {patch} voxels of {spacing} mm; no mirroring",
        _check(manifest),
        "",
        *_task_lines(task, manifest),
    ]
    return card_text(lines) + "\n"


def _check(manifest: ImportedManifest) -> str:
    if manifest.ood is None:
        return f"Out-of-distribution check: {NOT_CHECKED}; 'multitaskseg-trainer reference' adds them"
    return f"{check_text(manifest.ood, len(manifest.tasks))}{_images(manifest)}"


def _images(manifest: ImportedManifest) -> str:
    """How many images the check knows, as far as the file says it."""
    said = manifest.training.get("reference")
    if not isinstance(said, dict):
        return ""
    return f" ({said.get('known')} images of reference, {said.get('held_out')} held out)"


def _task_lines(task: TaskInfo, manifest: ImportedManifest) -> list[str]:
    kind = "regions that may overlap" if task.are_regions else "labels"
    names = [label.display_name for label in task.labels]
    more = f" and {len(names) - SHOWN_LABELS} more" if len(names) > SHOWN_LABELS else ""
    return [
        f"{task.name}: channels {', '.join(task.inputs)}; {len(names)} {kind}",
        f"  {', '.join(names[:SHOWN_LABELS])}{more}",
        *_measured(task, manifest),
    ]


def _measured(task: TaskInfo, manifest: ImportedManifest) -> list[str]:
    """What is known of the quality; what was not measured is said."""
    if not manifest.is_calibrated:
        alarms = ", false alarms" if manifest.ood is None else ""
        return [
            f"  not measured: Dice on images that no fold was trained on, calibration of probabilities{alarms}",
            "  uncertainty is that of the probabilities as trained; no Dice is predicted",
        ]
    dice = task.held_out_dice
    mean = sum(dice.values()) / len(dice) if dice else float("nan")
    ece, before = (task.calibration.get(key, float("nan")) for key in ("ece", "ece_uncalibrated"))
    return [
        f"  measured on {task.held_out_cases} cases that its folds were not trained on: mean Dice {mean:.3f}",
        f"  calibration error (ECE) {ece:.3f}, {before:.3f} before temperature {task.temperature:.2f}",
        quality_line(manifest.quality_of(task)),
    ]
