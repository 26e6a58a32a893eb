"""How an attempt at a case ended, as a worker tells it."""

from __future__ import annotations

from dataclasses import dataclass

from MultiTaskSegLib.cohort.result.case_record import CaseRecord


@dataclass(frozen=True)
class CaseOutcome:
    """How an attempt ended.

    Attributes:
        record: of a finished case; None when it failed.
        reason: why it failed, one sentence; empty when it did not.
        is_general: whether the next case would fare no better: nothing can be written, the model is another one.
    """

    record: CaseRecord | None = None
    reason: str = ""
    is_general: bool = False
