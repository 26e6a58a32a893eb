"""The table of the campaign as text and as the page ``docs/reliability.md``, made from the published JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from Testing.hostile.campaign.catalogue import TRIALS
from Testing.hostile.campaign.suite_figures import suite_section
from trainer.report.markdown_table import table
from trainer.report.published_json import write_published
from trainer.report.run_folder import write_text_file

PAGE, FILES = "reliability.md", "results/reliability-*.json"
HEADERS = ["What", "Must hold", "Tried", "Failures", "Seconds"]
TEXT = """# Reliability

Made by `python -m Testing.hostile.campaign`; nothing on this page is typed by hand. Every row tries many inputs or
events and says how many ended otherwise than promised: 0 is the only good figure. A small share of all rows is part of
the tests; `python -m Testing.hostile.campaign --only NAME` runs a row again, and with `--inputs INPUT` a
single case of it. That every row would find a fault is shown by `python start.py test Testing/hostile/planted`, which
puts such faults into the program. What is promised is in [SECURITY.md](../SECURITY.md).
"""


def publish(content: Mapping[str, Any], docs: Path) -> tuple[Path, Path]:
    """Write ``results/reliability-DATE.json`` in a folder of documents, and the page of the newest such file.

    Returns:
        Paths of the JSON file and of the page.
    """
    path, page = docs / "results" / f"reliability-{content['date']}.json", docs / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_published(path, dict(content))
    write_text_file(page, published_page(docs))
    return path, page


def published_page(docs: Path) -> str:
    """The page of the newest published file."""
    path = sorted(docs.glob(FILES))[-1]
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = content["rows"]
    failed = sum(row["cases_failed"] for row in rows)
    lines = [
        TEXT,
        f"## {content['date']}: {sum(row['run'] for row in rows)} tried, {failed} failures\n",
        f"Figures: [{path.name}](results/{path.name}), from {_commits(content['commit'])}, share "
        f"{content['share']:g}, seed {content['seed']}; {content['machine']['processor']}, "
        f"{content['machine']['system']}.\n",
        table(HEADERS, [_cells(row) for row in rows]),
        "",
        *_counted(rows),
        *_failures(rows),
        *_absent(rows),
        *_left_out({row["name"] for row in rows}),
        *suite_section(docs),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def summary(content: Mapping[str, Any]) -> str:
    """The table for a terminal."""
    lines = [f"{'row':<14}{'tried':>9}{'of':>9}{'failures':>10}{'seconds':>10}{'all, hours':>12}  what"]
    for row in content["rows"]:
        hours = row["whole_seconds"] / 3600
        lines.append(
            f"{row['name']:<14}{row['run']:>9}{row['of']:>9}{row['cases_failed']:>10}{row['seconds']:>10.1f}"
            f"{hours:>12.2f}  {row['what']}"
        )
        lines += [f"    {one['input']}: {one['what']}" for one in row["failures"][:10]]
        lines += [f"    {count} {what}" for what, count in row.get("counted", {}).items()]
        lines += [f"    {count} not tried: {reason}" for reason, count in row["not_here"].items()]
    return "\n".join(lines) + "\n"


def _commits(text: str) -> str:
    """One, or several of a run that was interrupted and went on after a change."""
    every = [f"`{commit}`" for commit in text.split(", ")]
    return f"commit {every[0]}" if len(every) == 1 else f"{len(every)} commits, one after the other: {', '.join(every)}"


def _cells(row: Mapping[str, Any]) -> list[Any]:
    tried = str(row["run"]) if row["run"] == row["of"] else f"{row['run']} of {row['of']}"
    return [f"{row['what']} (`{row['name']}`)", row["promise"], tried, row["cases_failed"], round(row["seconds"])]


def _counted(rows: list[dict[str, Any]]) -> list[str]:
    found = [[row["name"], what, count] for row in rows for what, count in row.get("counted", {}).items()]
    return ["### Counted besides\n", table(["Row", "What", "How many"], found), ""] if found else []


def _failures(rows: list[dict[str, Any]]) -> list[str]:
    found = [[row["name"], one["input"], one["what"]] for row in rows for one in row["failures"]]
    return ["### Failures\n", table(["Row", "Input", "What happened"], found), ""] if found else []


def _absent(rows: list[dict[str, Any]]) -> list[str]:
    found = [[row["name"], count, reason] for row in rows for reason, count in row["not_here"].items()]
    return ["### Not tried on this machine\n", table(["Row", "Cases", "Why"], found), ""] if found else []


def _left_out(names: set[str]) -> list[str]:
    """A row without figures is told, so that nobody takes it for one without failures."""
    found = [[f"{trial.what} (`{name}`)", trial.promise] for name, trial in TRIALS.items() if name not in names]
    return ["### Without figures in this run\n", table(["What", "Must hold"], found), ""] if found else []
