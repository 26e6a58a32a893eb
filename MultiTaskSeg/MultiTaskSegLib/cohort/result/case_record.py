"""What became of one case, as plain values: a row of the table, and a file beside the result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.quality.quality_words import agreements_of
from MultiTaskSegLib.verdict_words import verdict_words

RECORD_FILE = "case.json"
PICTURE_FILE = "picture.png"
DONE, FAILED, PENDING = "done", "failed", "pending"
MM3_PER_ML = 1000.0
# What every version has written; those before had no device, no stamp and no digest, and these stay empty.
_FIRST = {"case", "source", "status", "model_sha256", "warnings"}


@dataclass(frozen=True)
class CaseRecord:
    """One row.

    Attributes:
        case: identity, see `Case`.
        source: path of what was read.
        status: `DONE`, `FAILED` or `PENDING`.
        reason: why it failed; empty when it did not.
        attempts: how often it was tried in the run that ended it.
        task: what was segmented; empty for a check.
        verdict: as of `verdict_words`; empty when it failed.
        quality: whether the result is good, in the words of the report; empty for a check, and where nobody knows.
        nearest_task, p_value, score, limit: of the check; empty and None without one.
        expected_dice: of each segment that was found, by its name.
        volumes_ml: of each structure, by its name; empty for an image without a physical size.
        seconds: from reading to writing.
        model, model_sha256: whose result it is.
        date, scanner, device, site: as of `ScanOrigin`; empty where they are not to be noted.
        warnings: what there is to know about the result.
        thorough: whether the result can be good, in the words of the thorough check; empty where there was none.
        agreement: mean Dice with further looks; None where there were none, and where they find nothing, either.
        agreements: that of each structure that any look found, by its name.
        stamp, image_sha256: of the image when it was read, see `image_stamp` and `image_digest`; empty when it was not.
    """

    case: str
    source: str
    status: str = DONE
    reason: str = ""
    attempts: int = 1
    task: str = ""
    verdict: str = ""
    nearest_task: str = ""
    p_value: float | None = None
    score: float | None = None
    limit: float | None = None
    expected_dice: Mapping[str, float] = field(default_factory=dict)
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    model: str = ""
    model_sha256: str = ""
    date: str = ""
    scanner: str = ""
    device: str = ""
    site: str = ""
    warnings: tuple[str, ...] = ()
    stamp: str = ""
    image_sha256: str = ""
    quality: str = ""
    thorough: str = ""
    agreement: float | None = None
    agreements: Mapping[str, float] = field(default_factory=dict)

    @property
    def remoteness(self) -> float | None:
        """Score in units of the limit: beyond 1 an image is out of distribution; None without a check."""
        return None if self.score is None or not self.limit else self.score / self.limit

    @property
    def lowest_dice(self) -> float | None:
        """Of the segment that is expected to be worst; None where nothing is expected of any."""
        return min(self.expected_dice.values(), default=None)

    def as_text(self) -> str:
        """The file."""
        return json.dumps(asdict(self), indent=1) + "\n"


def record_of(report: Mapping[str, Any], **known: Any) -> CaseRecord:
    """The row of an image that was segmented or checked, from its report.

    Args:
        report: as in ``report.json``.
        known: the other attributes of the row.
    """
    verdict = None if report["ood"] is None else Verdict.from_dict(report["ood"])
    quality, thorough = report.get("quality") or {}, report.get("thorough") or {}
    task, model, labels = str(report.get("task", "")), report["model"], report.get("labels", [])
    return CaseRecord(
        **known,
        task=task,
        verdict=verdict_words(verdict, task),
        nearest_task="" if verdict is None else verdict.nearest_task,
        p_value=None if verdict is None else verdict.p_value,
        score=None if verdict is None else verdict.score,
        limit=None if verdict is None else verdict.threshold,
        expected_dice={row["name"]: row["predicted_dice"] for row in labels if row["predicted_dice"] is not None},
        volumes_ml={row["name"]: row["volume_mm3"] / MM3_PER_ML for row in labels if row["volume_mm3"] is not None},
        model=str(model["name"]),
        model_sha256=str(model["sha256"]),
        warnings=tuple(report["warnings"]),
        quality=str(quality.get("answer", "")),
        thorough=str(thorough.get("answer", "")),
        agreement=thorough.get("agreement"),
        agreements=agreements_of(report),
    )


def read_record(folder: Path) -> CaseRecord:
    """The row that a folder with a result holds.

    Raises:
        InputError: it holds none, or one that is not as it was written.
    """
    file = folder / RECORD_FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if set(found) - {one.name for one in fields(CaseRecord)} or not set(found) >= _FIRST:
            raise ValueError("it has other entries")
        return CaseRecord(**{**found, "warnings": tuple(found["warnings"])})
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"the result cannot be read back ({error})", file=file, remedy="Remove this folder to make it anew"
        ) from error
