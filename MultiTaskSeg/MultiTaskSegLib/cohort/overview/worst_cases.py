"""The cases of a cohort that deserve a look first, with their pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.cohort.result.case_record import DONE, PICTURE_FILE, CaseRecord
from MultiTaskSegLib.cohort.result.results import case_folder
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.machine.result_place import REPORT
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.quality.usability import DO_NOT_USE, LOOK_HERE

SHOWN = 12  # of each kind


def worst(records: Sequence[CaseRecord]) -> list[CaseRecord]:
    """Those furthest beyond the limit of the check, or nearest to it; then those that the thorough check sends one to,
    with the least agreement first; then those with the least expected Dice.

    >>> far = CaseRecord("far", "", score=3.0, limit=1.5)
    >>> poor = CaseRecord("poor", "", expected_dice={"liver": 0.4}, thorough="good", agreement=0.95)
    >>> unsure = CaseRecord("unsure", "", expected_dice={"liver": 0.9}, thorough="look here", agreement=0.8)
    >>> [one.case for one in worst([poor, unsure, far])]
    ['far', 'unsure', 'poor']
    """
    done = [record for record in records if record.status == DONE]
    checked = [(-record.remoteness, record.case, record) for record in done if record.remoteness is not None]
    far = [record for _, _, record in sorted(checked, key=lambda entry: entry[:2])[:SHOWN]]
    seen = {record.case for record in far}
    asked = [record for record in done if record.thorough in (LOOK_HERE, DO_NOT_USE) and record.case not in seen]
    unsure = sorted(asked, key=lambda record: (record.agreement or 0.0, record.case))[:SHOWN]
    seen |= {record.case for record in unsure}
    expected = [(record.lowest_dice, record.case, record) for record in done if record.lowest_dice is not None]
    poor = [record for _, name, record in sorted(expected, key=lambda entry: entry[:2]) if name not in seen]
    return far + unsure + poor[:SHOWN]


def pictured(record: CaseRecord, output: Path) -> BatchRow:
    """A case as a row of a batch, with its picture; what cannot be read is left out."""
    folder = case_folder(output, Case(record.case, Path(record.source)))
    picture, verdict = folder / PICTURE_FILE, None
    try:
        thumbnail = picture.read_bytes()
        found = json.loads((folder / REPORT).read_text(encoding="utf-8"))["ood"]
        verdict = None if found is None else Verdict.from_dict(found)
    except (OSError, ValueError, KeyError, TypeError):
        thumbnail = b""
    return BatchRow(
        record.case,
        record.task,
        record.verdict,
        record.p_value,
        record.volumes_ml,
        record.seconds or 0.0,
        record.warnings,
        ood=verdict,
        model=record.model,
        model_sha256=record.model_sha256,
        file=record.source,
        output=str(folder),
        thumbnail=thumbnail,
        quality=record.quality,
        thorough=record.thorough,
        agreement=record.agreement,
        agreements=record.agreements,
    )
