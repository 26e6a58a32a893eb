"""What the journals of all rows say together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from Testing.hostile.campaign.catalogue import trial
from Testing.hostile.campaign.journal import Journal, Settings


def finding(name: str, out: Path) -> dict[str, Any]:
    """Of one row: how much was tried, what failed, was not here or was counted, and how long all would take.

    Cases that another commit has tried in the same run and that are not chosen any more do not count.
    """
    row, journal = trial(name), Journal(out, name).done()
    done = {case: journal[case] for case in Settings.kept(out).chosen(row.cases()) if case in journal}
    absent = Counter(line["absent"] for line in done.values() if line.get("absent"))
    run = len(done) - sum(absent.values())
    seconds = sum(line["seconds"] for line in done.values())
    counted = Counter(word for line in done.values() for word in line.get("counted", ()))
    failures = [{"input": case, "what": line["failure"]} for case, line in done.items() if line["failure"]]
    return {
        "name": name,
        "what": row.what,
        "promise": row.promise,
        "run": run * row.each,
        "of": len(row.cases()) * row.each,
        "cases_failed": len(failures),
        "failures": failures,
        "not_here": dict(absent),
        "counted": dict(counted),
        "seconds": round(seconds, 1),
        "whole_seconds": round(seconds / max(1, len(done)) * len(row.cases()), 1),
    }


def commits(names: Sequence[str], out: Path) -> str:
    """Of everything that was run."""
    found = dict.fromkeys(commit for name in names for commit in Journal(out, name).commits())
    return ", ".join(commit or "unknown" for commit in found)
