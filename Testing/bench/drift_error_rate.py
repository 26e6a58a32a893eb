"""How often the tests of drift cry wolf, and how often they see a wolf: ``python -m Testing.bench.drift_error_rate``.

Cohorts are drawn at random without a change, and with one of a standard deviation, and tested as ``multitaskseg drift``
does; also such whose cases of one day are alike.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from MultiTaskSegLib.cohort.drift.rank_test import LEAST_SIDE
from MultiTaskSegLib.cohort.drift.shift import DATE, ROUNDS, WAYS, shifts
from MultiTaskSegLib.cohort.result.case_record import CaseRecord
from Testing.bench.growth_law import tell
from trainer.report.origin import origin

ALPHA = 0.05
FOUND_WITHIN = 10  # cases between the true change and the one that is told


@dataclass(frozen=True)
class Scenario:
    """Cohorts of one kind.

    Attributes:
        title: what is drawn.
        cases, per_day: how many there are, and how many of them on a day.
        step: by how many standard deviations values are larger from the change on.
        changed: index of the first case after the change.
        alike: share of the variance that all cases of a day have in common.
        flagged: share of cases beyond the limit, which then is what is tested; None for figures.
        whole: whether all quantities are tested over date, scanner and site, and any drift counts.
    """

    title: str
    cases: int
    per_day: int = 1
    step: float = 0.0
    changed: int = 0
    alike: float = 0.0
    flagged: float | None = None
    whole: bool = False


SCENARIOS = (
    Scenario("no change, 40 cases", 40),
    Scenario("no change, 200 cases", 200),
    Scenario("no change, 200 cases on 20 days", 200, per_day=10),
    Scenario("no change, 200 cases of which 3 % are flagged", 200, flagged=0.03),
    Scenario("no change, all quantities over date, scanner and site together", 100, whole=True),
    Scenario("no change, a tenth of the variance common to the ten cases of a day", 200, per_day=10, alike=0.1),
    Scenario("1 SD from the middle of 40 cases on", 40, step=1.0, changed=20),
    Scenario("1 SD from the middle of 100 cases on", 100, step=1.0, changed=50),
    Scenario("1 SD in the last tenth of 200 cases", 200, step=1.0, changed=180),
    Scenario("1 SD from the middle of 100 cases on, among all quantities", 100, step=1.0, changed=50, whole=True),
)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON; the exit code."""
    options = _parser().parse_args(arguments)
    source = origin("python -m Testing.bench.drift_error_rate", arguments, 1)
    told = {"alpha": ALPHA, "rounds": ROUNDS, "cohorts": options.cohorts, "least_side": LEAST_SIDE}
    rows: list[dict[str, Any]] = []
    for number, scenario in enumerate(SCENARIOS):
        rows.append(_measured(scenario, options.cohorts, number))
        tell({**source, **told, "scenarios": rows}, options.json)
    return 0


def _measured(scenario: Scenario, cohorts: int, number: int) -> dict[str, Any]:
    alarms, near = 0, []
    for seed in range(cohorts):
        records = _records(scenario, np.random.default_rng([number, seed]))
        found = shifts(records, WAYS if scenario.whole else [DATE], ALPHA)
        if scenario.whole:
            alarms += any(shift.is_drift(ALPHA) for shift in found)
            continue
        name = "flagged share" if scenario.flagged is not None else "organ [mL]"
        (shift,) = [shift for shift in found if shift.quantity == name]
        is_alarm = shift.p_value is not None and shift.p_value <= ALPHA
        alarms += is_alarm
        if is_alarm and scenario.step:
            place = [record.date for record in records].index(shift.where)
            near.append(abs(place - scenario.changed) <= FOUND_WITHIN)
    row = {"title": scenario.title, "cases": scenario.cases, "step": scenario.step, "rate": alarms / cohorts}
    if near:
        row["near"] = sum(near) / len(near)
    sys.stderr.write(f"{row}\n")
    return row


def _records(scenario: Scenario, generator: np.random.Generator) -> list[CaseRecord]:
    """Cases with one figure; with score, expected Dice and volume where all are tested together."""
    days = np.arange(scenario.cases) // scenario.per_day
    common = generator.normal(size=days[-1] + 1)[days] * np.sqrt(scenario.alike)
    values = common + generator.normal(size=scenario.cases) * np.sqrt(1 - scenario.alike)
    values[scenario.changed :] += scenario.step
    noise = generator.normal(size=(2, scenario.cases))
    scores, dice = np.exp(0.3 * noise[0]), 1 / (1 + np.exp(-2 - noise[1]))
    if scenario.flagged is not None:
        scores = np.where(generator.uniform(size=scenario.cases) < scenario.flagged, 2.0, 0.5)
    is_checked = scenario.whole or scenario.flagged is not None
    return [
        CaseRecord(
            f"case{k}",
            "",
            score=float(scores[k]) if is_checked else None,
            limit=1.5 if is_checked else None,
            expected_dice={"organ": float(dice[k])} if scenario.whole else {},
            volumes_ml={} if scenario.flagged is not None else {"organ": float(np.exp(values[k]))},
            date=(date(2026, 1, 1) + timedelta(days=int(days[k]))).isoformat(),
            scanner=f"scanner {generator.integers(3)}",
            site=f"site {generator.integers(2)}",
        )
        for k in range(scenario.cases)
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.drift_error_rate", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--cohorts", type=int, default=1000, metavar="N", help="of each kind")
    return parser


if __name__ == "__main__":
    sys.exit(main())
