"""Finished cases as a cohort would leave them, with figures from a generator and a step where it is asked for."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np

from MultiTaskSegLib.cohort.result.case_record import RECORD_FILE, CaseRecord
from MultiTaskSegLib.cohort.result.results import case_folder
from MultiTaskSegLib.cohort.result.settings import SEGMENT, CohortSettings
from MultiTaskSegLib.cohort.source.case import Case


def drifting_cohort(count: int, step: float = 0.0, changed: int = 0, seed: int = 0) -> list[CaseRecord]:
    """Cases one a day; from ``changed`` on their volume is larger by ``step`` of its standard deviation."""
    generator = np.random.default_rng(seed)
    scores, dice, volumes = (
        generator.lognormal(0, 0.3, count),
        generator.beta(9, 1, count),
        generator.normal(size=count),
    )
    volumes[changed:] += step
    return [
        CaseRecord(
            f"case{k}",
            f"/images/case{k}.nii.gz",
            verdict="in distribution",
            p_value=0.5,
            score=float(scores[k]),
            limit=1.6,
            expected_dice={"liver": float(dice[k])},
            volumes_ml={"liver": 1500 + 100 * float(volumes[k])},
            date=(date(2026, 1, 1) + timedelta(days=k)).isoformat(),
            scanner=("ACME One", "ACME Two")[k % 2],
            device=str(k % 4),
            site="North",
        )
        for k in range(count)
    ]


def write_cohort(records: list[CaseRecord], output: Path) -> None:
    """As ``multitaskseg cohort`` leaves them."""
    output.mkdir()
    CohortSettings(SEGMENT, "tiny", "0" * 64, "auto").write(output)
    for record in records:
        folder = case_folder(output, Case(record.case, Path(record.source)))
        folder.mkdir(parents=True)
        (folder / RECORD_FILE).write_text(record.as_text(), encoding="utf-8")
