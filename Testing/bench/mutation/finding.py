"""What the outcomes say together: shares noticed with exact intervals, and every survivor."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

EQUIVALENT = Path(__file__).resolve().parent / "equivalent.json"
KEY = ("file", "source", "before", "after")
"""What names an equivalent mutant: text, not line numbers, which every edit moves."""
SURVIVED = "survived"
KEPT_OF_SURVIVOR = ("room", "file", "line", "operator", "before", "after")


def equivalents(path: Path = EQUIVALENT) -> dict[tuple[str, ...], str]:
    """Reviewed mutants that change no result, with the reason."""
    listed = json.loads(path.read_text("utf-8"))
    return {tuple(entry[name] for name in KEY): entry["reason"] for entry in listed}


def findings(outcomes: Sequence[Mapping[str, Any]], known: Mapping[tuple[str, ...], str]) -> dict[str, Any]:
    """Content of the published file.

    Args:
        outcomes: one per mutant.
        known: equivalent mutants; those that survived are counted apart. One that is noticed was listed wrongly.
    """
    survivors = [outcome for outcome in outcomes if outcome["outcome"] == SURVIVED]
    equivalent = [outcome for outcome in survivors if _key(outcome) in known]
    aside = {outcome["id"] for outcome in equivalent}
    counted = [outcome for outcome in outcomes if outcome["id"] not in aside]
    rooms = dict.fromkeys(outcome["room"] for outcome in outcomes)
    return {
        "all": share(counted),
        "rooms": {room: share([outcome for outcome in counted if outcome["room"] == room]) for room in rooms},
        "operators": {name: share(of) for name, of in _by_operator(counted).items()},
        "survivors": [_survivor(outcome) for outcome in survivors if outcome["id"] not in aside],
        "equivalent": [{**_survivor(outcome), "reason": known[_key(outcome)]} for outcome in equivalent],
        "wrongly_listed": [
            _survivor(outcome) for outcome in outcomes if outcome["outcome"] != SURVIVED and _key(outcome) in known
        ],
    }


def share(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mutants noticed, how, and the exact (Clopper-Pearson) 95 % interval of their share."""
    counts = Counter(outcome["outcome"] for outcome in outcomes)
    total = len(outcomes)
    noticed = total - counts[SURVIVED]
    interval = binomtest(noticed, total).proportion_ci(0.95, "exact") if total else None
    return {
        "mutants": total,
        "noticed": noticed,
        "failed": counts["failed"],
        "error": counts["error"],
        "timeout": counts["timeout"],
        "share": noticed / total if total else None,
        "interval": [float(interval.low), float(interval.high)] if interval else None,
    }


def _by_operator(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: str(outcome["operator"])):
        found.setdefault(outcome["operator"], []).append(outcome)
    return found


def _survivor(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """With the tests that ran, by file: all their names are in the outcomes of the run."""
    ran = Counter(test.partition("::")[0] for test in outcome["passed"])
    return {**{name: outcome[name] for name in KEPT_OF_SURVIVOR}, "tests": len(outcome["passed"]), "files": dict(ran)}


def _key(outcome: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(outcome[name] for name in KEY)
