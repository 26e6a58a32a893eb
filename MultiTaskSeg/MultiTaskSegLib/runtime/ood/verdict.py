"""The answer to: is this image like anything the model was trained on?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from MultiTaskSegLib.runtime.image.input_frame import InputFrame
from MultiTaskSegLib.runtime.ood.explanation import Explanation

NOT_CHECKED = "not checked: the model has no reference images"
"""What every surface says instead of a verdict where there is none."""
REGION_NOT_CHECKED = "not checked: only a region was segmented, and the check compares whole images"
"""The same where a region was segmented and nobody asked about the whole image."""


@dataclass(frozen=True)
class Verdict:
    """Result of the out-of-distribution check.

    Attributes:
        is_ood: whether the result must not be trusted.
        score: spectral distance to the nearest task, in units of the typical distance between images of that task
            (1 is typical).
        threshold: the limit of the nearest task: scores above it are out of distribution.
        p_value: share of new images of the nearest task that are expected to lie at least this far out; of models with
            one limit for all tasks, the share of known, held-out images that do (a conformal p-value).
        nearest_task: name of the task whose images are nearest.
        distances: score by task.
        explanation: how the image differs from the nearest task's; None where it was not worked out.
        rivals: tasks whose images are about as near: the image may be one of theirs as well.
        limits: limit by task, for models whose tasks have their own; else empty.
        log_nearness: by what the tasks that come into question are compared with each other, see
            `SpectralReference.log_nearness`; empty in a verdict that was read from a report.
        warnings: what there is to know about how the image was read and looked at; a report has them beside the
            verdict.
        frame: orientation and spacing at which the network saw the image; None in a verdict that was read from a
            report, which has it beside the verdict.
    """

    is_ood: bool
    score: float
    threshold: float
    p_value: float
    nearest_task: str
    distances: dict[str, float]
    explanation: Explanation | None = None
    rivals: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    log_nearness: Mapping[str, float] = field(default_factory=dict, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
    frame: InputFrame | None = field(default=None, compare=False)

    @property
    def lowest(self) -> float:
        """Logarithm of how near the nearest task is, comparable with that of other verdicts on the same image."""
        return self.log_nearness[self.nearest_task]

    def as_dict(self) -> dict[str, Any]:
        """Plain values as in ``report.json``."""
        return {
            "is_ood": self.is_ood,
            "score": self.score,
            "threshold": self.threshold,
            "p_value": self.p_value,
            "nearest_task": self.nearest_task,
            "distances": dict(self.distances),
            "explanation": None if self.explanation is None else self.explanation.as_dict(),
            "rivals": list(self.rivals),
            **({"limits": dict(self.limits)} if self.limits else {}),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Verdict:
        """The verdict that `as_dict` described; one of an earlier version may lack the explanation or the rivals."""
        explanation = plain.get("explanation")
        read = None if explanation is None else Explanation.from_dict(explanation)
        return cls(**{**plain, "explanation": read, "rivals": tuple(plain.get("rivals", ()))})

    def limit_of(self, task: str) -> float:
        """The limit of a task; that of the nearest one where tasks have none of their own."""
        return self.limits.get(task, self.threshold)

    @property
    def network_grid(self) -> dict[str, Any] | None:
        """Plain values of ``frame``, as a report has them beside the verdict."""
        return None if self.frame is None else self.frame.as_dict()

    def resembles(self, task: str) -> bool:
        """Whether the image is as near to a task as to any other, or about so."""
        return task in (self.nearest_task, *self.rivals)

    def sentence(self) -> str:
        """One sentence for people."""
        relation = f"{self.score:.1f} times the typical distance from {self.nearest_task} (limit {self.threshold:.1f})"
        if self.is_ood:
            return f"OUT OF DISTRIBUTION: unlike all training images, {relation}. Do not trust this result"
        return f"In distribution: {relation}" + (f", about as near to {', '.join(self.rivals)}" if self.rivals else "")
