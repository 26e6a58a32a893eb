"""Figures of mutation runs for ``docs/results``: a dated JSON file, and a page made from such files alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.report.markdown_table import table
from trainer.report.published_json import write_published
from trainer.report.run_folder import write_text_file

PAGE = "mutation.md"
FILES = "mutation-*.json"
TEXT = """# Would the tests notice?

Made by `python -m Testing.bench.mutation`; nothing on this page is typed by hand.

A mutant is the source code with one small fault: a comparison, a sign, a number, a condition, a bound or an argument
is another, a call is missing, a function returns nothing. The places are drawn at random from a fixed seed, each
package in proportion to the places it has; texts, annotations, decorators, messages of errors and log lines are left
out. A mutant is noticed when one of its tests fails; that pytest cannot even start or crashes, and that the tests take
three times as long as usual and at least a minute, counts too and is told apart. Its tests are those that run its lines
by recorded coverage, up to 150 within a limit of time. Intervals are exact binomial (Clopper-Pearson), 95 %.
"""
HEADERS = ["Package", "Mutants", "Noticed", "Share", "by a failing test", "by an error", "by time"]
SURVIVOR_HEADERS = ["Where", "Change", "Before", "After", "Tests that ran"]
LONGEST = 100


def publish(content: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write ``mutation-DATE.json`` to a folder, and the page of all such files there.

    Returns:
        Paths of the JSON file and of the page.
    """
    path, page = folder / f"mutation-{content['date']}.json", folder / PAGE
    write_published(path, dict(content))
    write_text_file(page, published_page(folder))
    return path, page


def published_page(folder: Path) -> str:
    """The page of all published JSON files of a folder, the latest first."""
    return "\n".join([TEXT, *(_section(path) for path in sorted(folder.glob(FILES), reverse=True))])


def _section(path: Path) -> str:
    content = json.loads(path.read_text(encoding="utf-8"))
    found = content["results"]
    tests = "" if content["tests"] == "all" else f", tests in {', '.join(content['tests'])} alone"
    real = "with" if content["real_data"] else "without"
    rooms = [_row(room, figures) for room, figures in found["rooms"].items()]
    kinds = [_row(name, figures) for name, figures in found["operators"].items()]
    lines = [
        f"## {content['date']}: {_percent(found['all'])} noticed\n",
        f"Figures: [{path.name}]({path.name}), from commit `{content['commit']}`, seed {content['seed']}, "
        f"at most {content['limit_s']:g} s of tests for each mutant{tests}, {real} the tests on real images.\n",
        table(HEADERS, [*rooms, _row("all", found["all"])]),
        "",
        table(["Change", *HEADERS[1:]], kinds),
        "",
        f"### {len(found['survivors'])} survivors\n",
        _survivors(found["survivors"]),
        "",
    ]
    if found["equivalent"]:
        rows = [[*_survivor(one), one["reason"]] for one in found["equivalent"]]
        lines += [
            f"### {len(found['equivalent'])} survivors that change no result\n",
            "Reviewed one by one, and not counted above.\n",
            table([*SURVIVOR_HEADERS, "Why"], rows),
            "",
        ]
    return "\n".join(lines)


def _row(name: str, figures: Mapping[str, Any]) -> list[Any]:
    counts = [figures[key] for key in ("failed", "error", "timeout")]
    return [name, figures["mutants"], figures["noticed"], _percent(figures), *counts]


def _percent(figures: Mapping[str, Any]) -> str:
    if figures["share"] is None:
        return "–"
    low, high = figures["interval"]
    return f"{100 * figures['share']:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def _survivors(survivors: Sequence[Mapping[str, Any]]) -> str:
    return table(SURVIVOR_HEADERS, [_survivor(one) for one in survivors]) if survivors else "None."


def _survivor(one: Mapping[str, Any]) -> list[Any]:
    return [f"{one['file']}:{one['line']}", one["operator"], _code(one["before"]), _code(one["after"]), one["tests"]]


def _code(text: str) -> str:
    flat = " ".join(text.split())
    return f"`{flat if len(flat) <= LONGEST else flat[: LONGEST - 1] + '…'}`".replace("``", "` `")
