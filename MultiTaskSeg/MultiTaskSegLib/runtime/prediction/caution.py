"""What a user must know before relying on a result."""

from __future__ import annotations

from MultiTaskSegLib.runtime.image.input_frame import InputFrame
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.ood.verdict import REGION_NOT_CHECKED, Verdict

# Below this mean Dice on held-out images hardly more than half of a structure is right.
WEAK_DICE = 0.6
NAMED = 3


def cautions(
    frame: InputFrame,
    task: TaskInfo,
    verdict: Verdict | None,
    *,
    is_recognised: bool,
    is_something_found: bool,
) -> tuple[str, ...]:
    """Sentences on a result, the gravest first.

    Args:
        frame: how the image lies on the network's grid.
        task: that was used.
        verdict: on the image; None for a part of one.
        is_recognised: whether the task was found by the image's signature, not told.
        is_something_found: whether any voxel has a label.
    """
    nothing = [] if is_something_found else [nothing_found(task)]
    return (*about_verdict(verdict, task, is_recognised), *nothing, *weakness(task), *coarseness(frame))


def nothing_found(task: TaskInfo, which: str = "") -> str:
    """The sentence on a result without any label; ``which`` structures, where not all of the task count."""
    return f"no structure of {task.name} {which}was found"


def about_verdict(verdict: Verdict | None, task: TaskInfo, is_recognised: bool) -> list[str]:
    """What the verdict says against a result; arguments as of `cautions`."""
    if verdict is None:
        return [REGION_NOT_CHECKED]
    sentences = [verdict.sentence()] if verdict.is_ood else []
    if is_recognised and verdict.rivals and not verdict.is_ood:
        sentences.append(
            f"the task is not certain: {task.name} was used, but the image is about as near to "
            f"{', '.join(verdict.rivals)}; name the task if you know it"
        )
    if not verdict.resembles(task.name):
        sentences.append(f"the image looks more like {verdict.nearest_task} than like the chosen task {task.name}")
    return sentences


def coarseness(frame: InputFrame) -> list[str]:
    """A sentence on voxels of another size than the model knows: on them a check is worth less, too."""
    if not (frame.is_coarse or frame.is_fine):
        return []
    return [
        f"the voxels ({_millimetres(frame.spacing_zyx_mm)}) are much {'coarser' if frame.is_coarse else 'finer'} "
        f"than in the training images ({_millimetres(frame.wanted_spacing_zyx_mm)})"
        + (f"; the model saw them at {_millimetres(frame.reached_spacing_zyx_mm)}" if frame.is_coarse else "")
    ]


def _millimetres(spacing_zyx_mm: tuple[float, float, float] | None) -> str:
    """X, Y, Z as users know them."""
    return " × ".join(f"{mm:.3g}" for mm in reversed(spacing_zyx_mm or ())) + " mm"


def weakness(task: TaskInfo) -> list[str]:
    """A sentence on labels that the model often gets wrong even in images like those it was trained on."""
    weak = sorted((dice, label) for label, dice in task.held_out_dice.items() if dice < WEAK_DICE)
    if not weak:
        return []
    names = [f"{label.replace('_', ' ')} ({dice:.2f})" for dice, label in weak[:NAMED]]
    more = f" and {len(weak) - NAMED} more" if len(weak) > NAMED else ""
    return [
        f"the model is weak at {', '.join(names)}{more}: mean Dice on held-out images of {task.name}; "
        "check every slice before you rely on it"
    ]
