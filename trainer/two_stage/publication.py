"""Figures of two-stage learning for ``docs/results``: a dated JSON file, and a page made from such files alone."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.run_folder import write_text_file
from trainer.two_stage.findings import bar_text
from trainer.two_stage.page import EXPLANATION, TABLE_HEADERS, choice_rows, shown_methods, table_rows
from trainer.two_stage.settings import Settings
from trainer.uncertainty.publication import compact, table

PAGE = "two-stage.md"
FILES = "two-stage-*.json"
TEXT = f"""# Two-stage multi-task self-supervised learning

Made by `python -m trainer two-stage`; nothing on this page is typed by hand. What the methods are says
[pretraining.md](../pretraining.md).

{EXPLANATION}
"""


def publish(found: Mapping[str, Any], settings: Settings, command: Sequence[str], folder: Path) -> tuple[Path, Path]:
    """Write ``two-stage-DATE-TARGET.json`` to ``folder``, and the page of all such files in it.

    Args:
        found: content of ``metrics.json``.
        settings: of the experiment.
        command: arguments; of paths only the last part is kept.
        folder: where to.

    Returns:
        Paths of both files.
    """
    content = {
        "command": [Path(word).name for word in command],
        "commit": found["commit"],
        "config": settings.as_dict(),
        "date": datetime.date.today().isoformat(),
        "results": found,
    }
    path = folder / f"two-stage-{content['date']}-{found['target']}.json"
    write_text_file(path, compact(content) + "\n")
    page = folder / PAGE
    write_text_file(page, published_page(folder))
    return path, page


def published_page(folder: Path) -> str:
    """The page of all published JSON files of a folder."""
    return "\n".join([TEXT, *(_section(path) for path in sorted(folder.glob(FILES)))])


def _section(path: Path) -> str:
    content = json.loads(path.read_text(encoding="utf-8"))
    found = content["results"]
    lines = [
        f"## {found['target']}, {content['date']}\n",
        f"Figures: [{path.name}]({path.name}), from commit `{content['commit'] or 'unknown'}`.\n",
    ]
    for count, methods in found["labelled"].items():
        lines += [
            f"### {count} labelled images\n",
            table(TABLE_HEADERS, table_rows(methods, shown_methods(methods), found["criterion"])),
            "",
        ]
    headers = ["Labels, seed", *found["choices"][0]["tasks"], "Best teacher"]
    lines += ["Mode chosen, and validation Dice joint / pre-training:\n", table(headers, choice_rows(found["choices"]))]
    verdicts = [f"- {bar_text(bar)}" for bar in found["bars"]]
    return "\n".join([*lines, "", *verdicts, ""])
