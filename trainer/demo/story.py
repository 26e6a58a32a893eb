"""What the demo found out, whether that is what it promised, and how to say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation

LOWEST_DICE = 0.6


@dataclass(frozen=True)
class KnownCase:
    """An unseen phantom of a known task, segmented.

    Attributes:
        name: case name.
        task: the task it belongs to.
        result: of the segmentation with automatic task.
        dice: by label name, against the exact labels; on whatever task was chosen.
    """

    name: str
    task: str
    result: Segmentation
    dice: dict[str, float]

    @property
    def mean_dice(self) -> float:
        """Mean over the labels; 0 when the wrong task was chosen."""
        return float(np.mean(list(self.dice.values()))) if self.result.task.name == self.task else 0.0


@dataclass(frozen=True)
class Story:
    """Everything the demo found out.

    Attributes:
        known: unseen phantoms of the known tasks.
        foreign: images of no task, by name.
        spoilt: images of a known task with a fault, by name of the fault.
        training_s: seconds spent on training.
        total_s: seconds spent on everything.
    """

    known: tuple[KnownCase, ...]
    foreign: dict[str, Segmentation]
    spoilt: dict[str, Segmentation]
    training_s: float
    total_s: float

    def dice_of(self, task: str) -> float:
        """Mean Dice over the unseen cases of a task."""
        return float(np.mean([case.mean_dice for case in self.known if case.task == task]))

    def failures(self) -> list[str]:
        """What did not come out as promised; empty when the story holds.

        Promised are the foreign objects being flagged, at least two of three unseen phantoms of each task passing, and
        a mean Dice of at least `LOWEST_DICE` for each task. The spoilt images are shown, not promised.
        """
        found = [f"{name} was not flagged" for name, result in self.foreign.items() if not result.checked.is_ood]
        for task in dict.fromkeys(case.task for case in self.known):
            cases = [case for case in self.known if case.task == task]
            alarms = sum(case.result.checked.is_ood for case in cases)
            if 3 * alarms > len(cases):
                found.append(f"{alarms} of {len(cases)} unseen cases of {task} were flagged")
            if self.dice_of(task) < LOWEST_DICE:
                found.append(f"mean Dice of {task} is {self.dice_of(task):.2f}, below {LOWEST_DICE}")
        return found


def summary(story: Story, directory: Path) -> str:
    """What happened, in words, for a terminal."""
    lines = ["", "Unseen phantoms, task recognised automatically:"]
    for case in story.known:
        verdict = "FLAGGED " if case.result.checked.is_ood else "in distribution"
        labels = ", ".join(f"{name} {value:.2f}" for name, value in case.dice.items())
        lines.append(f"  {case.name:14} Dice {case.mean_dice:.2f} ({labels}); {verdict}")
    for title, group in (
        ("Foreign objects:", story.foreign),
        ("A head with faults (shown, not promised):", story.spoilt),
    ):
        lines += ["", title]
        for name, result in group.items():
            verdict = "FLAGGED as out of distribution" if result.checked.is_ood else "not flagged"
            lines.append(
                f"  {name:18} {verdict}; distance {result.checked.score:.2f}, limit {result.checked.threshold:.2f}"
            )
    lines += ["", f"Training took {story.training_s:.0f} s, everything {story.total_s:.0f} s. Results in {directory}:"]
    lines += [f"  {path.relative_to(directory)}" for path in sorted(directory.glob("*.*")) if path.is_file()]
    lines += ["  data/ results/ foreign/ (images, labels, segmentations)", ""]
    failures = story.failures()
    if failures:
        return "\n".join([*lines, "The story did NOT hold: " + "; ".join(failures) + "."])
    return "\n".join([*lines, "The story held: known images were segmented, foreign ones were flagged."])


def numbers(story: Story) -> dict[str, object]:
    """The figures of the story for `demo.json`."""
    return {
        "known": [
            {"case": c.name, "task": c.task, "dice": c.dice, "ood": c.result.checked.as_dict()} for c in story.known
        ],
        "foreign": {name: result.checked.as_dict() for name, result in story.foreign.items()},
        "spoilt": {name: result.checked.as_dict() for name, result in story.spoilt.items()},
        "training_s": round(story.training_s, 1),
        "total_s": round(story.total_s, 1),
        "failures": story.failures(),
    }
