"""The model card: what a model is, what it was trained on, and how well it did on cases it never saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from MultiTaskSegLib.runtime.errors import printable
from MultiTaskSegLib.runtime.model.manifest import Manifest, OodInfo, TaskInfo
from MultiTaskSegLib.runtime.model.training_data import TrainingData
from MultiTaskSegLib.runtime.model.weights_licence import learnt_besides, weights_licence
from MultiTaskSegLib.runtime.quality.quality_info import FEWEST_PATIENTS, TaskQuality

FEW_CASES = 10
FEW_WORDS = " (few: others may lie far from these figures)"


def model_card(manifest: Manifest, digest: str) -> str:
    """Plain text for people; every figure comes from the manifest."""
    lines = [
        f"{manifest.name} ({'2-D' if manifest.is_planar else '3-D'} model, {manifest.created_by})",
        f"SHA-256 {digest}",
        f"Intended use: {manifest.intended_use}",
        f"Training: {_training(manifest)}",
        f"Licence of the weights, from those of their data: {weights_licence(manifest).text()}",
        check_text(manifest.ood, len(manifest.tasks)),
        *filter(None, [left_out_text(manifest)]),
        *(f"Learnt from, too: {name} ({terms})" for name, terms in learnt_besides(manifest).items()),
        "",
    ]
    for index, task in enumerate(manifest.tasks):
        lines += _task_lines(task, _false_alarms(manifest.ood, index, task.name), manifest.quality_of(task))
    return card_text(lines)


def card_text(lines: Iterable[str]) -> str:
    """Lines under each other. Names and descriptions of a file may hold line ends: what follows them could pass for a
    line of the card, such as a licence."""
    return "\n".join(printable(" ".join(line.splitlines())) for line in lines)


def check_text(ood: OodInfo, tasks: int) -> str:
    """One line on the check of so many tasks: its signature, its limits, and how often it flags known images."""
    rate = f"{100 * ood.false_alarm_rate:.0f} %"
    if ood.limits is None:
        words = f"limit {ood.threshold:.2f}, false alarms {rate} of the held-out images, which also set the limit"
    else:
        limits = [ood.limits.limit(task) for task in range(tasks)]
        among = f"{min(limits):.2f}" if len(limits) == 1 else f"{min(limits):.2f} to {max(limits):.2f} by task"
        words = (
            f"limit {among}, where {100 * ood.limits.tail_share:g} % of new images are expected beyond; false alarms "
            f"{rate}{_interval_text(ood.false_alarm_interval)} of known images, each patient left out of all that the "
            "check fits"
        )
    return f"Out-of-distribution check: {ood.variant} signature of {', '.join(ood.layers)}; {words}"


def left_out_text(manifest: Manifest) -> str:
    """One line on the tasks that the network was trained on and the model leaves out; empty where there are none."""
    left = manifest.training.get("left_out")
    parts = [f"{name} ({_held_out_words(known)})" for name, known in left.items()] if isinstance(left, dict) else []
    return f"Trained on, too, but left out: {', '.join(parts)}" if parts else ""


def averaged_words(training: Mapping[str, Any]) -> str:
    """What the card says of it; nothing of a model that was not averaged, or whose note says something else.

    Args:
        training: entry of the manifest.

    >>> averaged_words({"averaged": {"model": "a", "sha256": "0", "share": 0.75}}), averaged_words({"averaged": 7})
    (', averaged with these (75 % its own)', '')
    """
    said = training.get("averaged")
    share = said.get("share") if isinstance(said, dict) else None
    if not isinstance(share, float) or not 0 < share < 1:
        return ""
    return f", averaged with these ({100 * share:.0f} % its own)"


def _held_out_words(known: Any) -> str:
    """Notes of a file may hold anything."""
    scores = known.get("held_out_dice") if isinstance(known, dict) else None
    values = list(scores.values()) if isinstance(scores, dict) else []
    if not values or not all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in values):
        return "Dice not recorded"
    cases = known.get("held_out_cases")
    count = f"{cases} " if isinstance(cases, int) and not isinstance(cases, bool) else ""
    return f"mean Dice {sum(values) / len(values):.3f} on {count}held-out cases"


def _false_alarms(ood: OodInfo, index: int, name: str) -> str:
    """Of one task, in words."""
    rate = f"false alarms {100 * ood.false_alarm_rate_by_task.get(name, float('nan')):.0f} %"
    if ood.limits is None:
        return rate
    interval = ood.false_alarm_intervals[index] if ood.false_alarm_intervals else None
    patients = ood.limits.laws[index].patients
    return f"limit {ood.limits.limit(index):.2f} from {patients} patients, {rate}{_interval_text(interval)}"


def _interval_text(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" (95 % interval {100 * interval[0]:.0f} to {100 * interval[1]:.0f} %)"


def _training(manifest: Manifest) -> str:
    training = manifest.training
    known = [key for key in ("steps", "minutes") if isinstance(training.get(key), (int, float))]
    parts = [f"{training[key]:.0f} {key}" for key in known]
    source = training.get("finetuning")
    if isinstance(source, dict) and source.get("model"):
        parts.append(
            f"from the weights of {source['model']} (SHA-256 {str(source.get('sha256', 'not recorded'))[:16]}...)"
            f"{averaged_words(training)}"
        )
    return ", ".join(parts) or "not recorded"


def _task_lines(task: TaskInfo, false_alarms: str, known: TaskQuality) -> list[str]:
    kind, more = ("region", ", which may overlap") if task.are_regions else ("label", "")
    what = f"{len(task.labels)} {kind}{'' if len(task.labels) == 1 else f's{more}'}"
    head = f"{task.name}: {task.modality}, {task.anatomy or 'region not known'}, {what}"
    if task.inputs:
        head += f"; channels of an image, in this order: {', '.join(task.inputs)}"
    if not task.labels:
        return [
            f"{head} (pre-trained without labels: nothing is segmented)",
            f"  {task.training_cases} images, {task.held_out_cases} others held out; data licence: {task.licence}; "
            f"{false_alarms}",
            *_data_lines(task.data),
            "",
        ]
    scores = task.held_out_dice
    mean = sum(scores.values()) / len(scores) if scores else float("nan")
    shown = list(scores.items()) if len(scores) <= 8 else []
    lines = [
        head,
        f"  trained on {task.training_cases} cases, measured on {task.held_out_cases} others"
        f"{FEW_WORDS if task.held_out_cases < FEW_CASES else ''}; data licence: {task.licence}",
        f"  mean Dice {mean:.3f}" + "".join(f"; {name.replace('_', ' ')} {value:.3f}" for name, value in shown),
        f"  calibration error (ECE) {task.calibration.get('ece', float('nan')):.3f} near structures, "
        f"{task.calibration.get('ece_uncalibrated', float('nan')):.3f} before temperature {_temperatures(task)}; "
        f"{false_alarms}",
        quality_line(known),
        *_data_lines(task.data),
        "",
    ]
    return lines


def quality_line(known: TaskQuality) -> str:
    """How the Dice of a result is estimated, and how far one may rely on it."""
    way = f"expected Dice corrected by {', '.join(known.traits)}" if known.traits else "expected Dice"
    if known.margin is None:
        return f"  estimated Dice: {way}; no bound, which takes {FEWEST_PATIENTS} held-out patients"
    return (
        f"  estimated Dice: {way}; at least the estimate less {known.margin:.2f} in nine of ten images like those of "
        f"{known.patients} held-out patients"
    )


def _data_lines(data: TrainingData) -> list[str]:
    """What is known of the images; what is not known is said in one line."""
    known = {
        "please cite": data.reference,
        "images": data.description,
        "field of view": data.field_of_view,
        "size": data.sizes.text() if data.sizes else "",
        "scanners": data.scanners,
        "ages": data.ages,
    }
    unknown = [name for name, value in known.items() if not value and name != "please cite"]
    lines = [f"  {name}: {value}" for name, value in known.items() if value]
    return lines + ([f"  not recorded: {', '.join(unknown)}"] if unknown else [])


def _temperatures(task: TaskInfo) -> str:
    near = "" if task.surface_temperature is None else f" ({task.surface_temperature:.2f} near the surface)"
    return f"{task.temperature:.2f}{near}"
