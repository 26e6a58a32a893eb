"""The verdict on an image in words that are the same in every table and language. No torch here."""

from __future__ import annotations

from MultiTaskSegLib.runtime.ood.verdict import Verdict

UNUSUAL_P_VALUE = 0.05  # at most one in twenty known images lies as far out
KNOWN, UNUSUAL, FOREIGN = "in distribution", "in distribution (unusual)", "out of distribution"
UNCHECKED = "not checked"  # the model has no reference images


def is_unusual(verdict: Verdict, task: str = "") -> bool:
    """Whether an image in distribution deserves a second look: hardly any known image lies as far out, or it is more
    like those of another task than the one that was segmented."""
    is_other_task = bool(task) and not verdict.resembles(task)
    return not verdict.is_ood and (is_other_task or verdict.p_value <= UNUSUAL_P_VALUE)


def verdict_words(verdict: Verdict | None, task: str = "") -> str:
    """`KNOWN`, `UNUSUAL`, `FOREIGN` or `UNCHECKED`; ``task`` is what was segmented, empty for a check."""
    if verdict is None:
        return UNCHECKED
    if verdict.is_ood:
        return FOREIGN
    return UNUSUAL if is_unusual(verdict, task) else KNOWN
