"""How far new images of a task are expected to lie: a law that knows of how few images it was made.

Logarithms of scores of new patients follow Student's t about a location, the wider the fewer patients were seen: the
posterior predictive distribution of a normal sample (Gelman et al., "Bayesian Data Analysis", 3rd ed., section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

from scipy.stats import t as student_t

SMALLEST_SCORE = 1e-300


@dataclass(frozen=True)
class ScoreLaw:
    """Of one task.

    Attributes:
        location: middle of the natural logarithm of the score.
        scale: of it; positive.
        degrees: of freedom of Student's t; the fewer, the heavier the tails.
        patients: how many patients of the task it was fitted to.
    """

    location: float
    scale: float
    degrees: float
    patients: int

    def tail(self, score: float) -> float:
        """Share of new images of the task that are expected to lie at least as far out as ``score``."""
        place = (log(max(score, SMALLEST_SCORE)) - self.location) / self.scale
        return float(student_t.sf(place, self.degrees))

    def limit(self, share: float) -> float:
        """The score beyond which this share of new images of the task is expected; its inverse is `tail`."""
        return exp(self.location + self.scale * float(student_t.isf(share, self.degrees)))


@dataclass(frozen=True)
class TaskLimits:
    """Limits of all tasks, at which the same share of each task's new images is expected to be flagged.

    Attributes:
        laws: by task index.
        tail_share: the share, in (0, 1).
    """

    laws: tuple[ScoreLaw, ...]
    tail_share: float

    def limit(self, task: int) -> float:
        """The score beyond which an image that is nearest to this task is out of distribution."""
        return self.laws[task].limit(self.tail_share)

    def tail(self, task: int, score: float) -> float:
        """p-value of a score in this task; below `tail_share` exactly beyond the limit."""
        return self.laws[task].tail(score)
