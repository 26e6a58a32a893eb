"""What a user must know before relying on a result."""

from __future__ import annotations

from MultiTaskSegLib.runtime.image.profile import MAX_UPSAMPLING
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.ood.verdict import Verdict

# Below this mean Dice on held-out images hardly more than half of a structure is right.
WEAK_DICE = 0.6
NAMED = 3


def cautions(
    volume: Volume, task: TaskInfo, verdict: Verdict, *, is_recognised: bool, is_something_found: bool
) -> tuple[str, ...]:
    """Sentences on a result, the gravest first.

    Args:
        volume: that was segmented.
        task: that was used.
        verdict: on the image.
        is_recognised: whether the task was found by the image's signature, not told.
        is_something_found: whether any voxel has a label.
    """
    sentences = [verdict.sentence()] if verdict.is_ood else []
    if is_recognised and verdict.rivals and not verdict.is_ood:
        sentences.append(
            f"the task is not certain: {task.name} was used, but the image is about as near to "
            f"{', '.join(verdict.rivals)}; name the task if you know it"
        )
    if not verdict.resembles(task.name):
        sentences.append(f"the image looks more like {verdict.nearest_task} than like the chosen task {task.name}")
    if not is_something_found:
        sentences.append(f"no structure of {task.name} was found")
    sentences += weakness(task)
    target = task.profile.spacing_zyx_mm
    if target and max(volume.spacing_mm) > MAX_UPSAMPLING * max(target):
        sentences.append("the voxels are much coarser than in the training images")
    return tuple(sentences)


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
