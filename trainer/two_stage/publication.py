"""Figures of two-stage learning for ``docs/results``: a dated JSON file with its pictures, and a page of such files."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.report.markdown_table import table
from trainer.report.origin import machine_facts
from trainer.report.published_json import write_published
from trainer.report.report import png_bytes, write_whole
from trainer.report.run_folder import write_text_file
from trainer.two_stage.findings import bar_text
from trainer.two_stage.page import EXPLANATION, TABLE_HEADERS, choice_rows, figures, shown_methods, table_rows
from trainer.two_stage.settings import Settings

PAGE = "two-stage.md"
FILES = "two-stage-*.json"
TEXT = f"""# Two-stage multi-task self-supervised learning

Made by `python -m trainer two-stage`; nothing on this page is typed by hand. What the methods are says
[pretraining.md](../pretraining.md).

{EXPLANATION}
"""


def publish(found: Mapping[str, Any], settings: Settings, command: Sequence[str], folder: Path) -> tuple[Path, Path]:
    """Write ``two-stage-DATE-NAME.json`` (of the model) and its pictures to ``folder``, and the page of all such files.

    Args:
        found: content of ``metrics.json``.
        settings: of the experiment.
        command: arguments; of paths only the last part is kept.
        folder: where to.

    Returns:
        Paths of the JSON file and of the page.
    """
    content = {
        "command": [Path(word).name for word in command],
        "commit": found["commit"],
        "machine": machine_facts(0),
        "config": settings.as_dict(),
        "date": datetime.date.today().isoformat(),
        "results": found,
    }
    path = folder / f"two-stage-{content['date']}-{found['name']}.json"
    for name, (figure, _) in figures(write_published(path, content)["results"]).items():
        write_whole(picture_path(path, name), png_bytes(figure))
    page = folder / PAGE
    write_text_file(page, published_page(folder))
    return path, page


def published_page(folder: Path) -> str:
    """The page of all published JSON files of a folder."""
    return "\n".join([TEXT, *(_section(path) for path in sorted(folder.glob(FILES)))])


def picture_path(path: Path, name: str) -> Path:
    """Where a picture of a published JSON file is."""
    return path.with_name(f"{path.stem}-{name}.png")


def _section(path: Path) -> str:
    content = json.loads(path.read_text(encoding="utf-8"))
    found = content["results"]
    lines = [
        f"## {found['target']}: {found['name']}, {content['date']}\n",
        f"Figures: [{path.name}]({path.name}), from commit `{content['commit'] or 'unknown'}`. "
        f"Images without labels: the target's own{''.join(f', {name}' for name in found['other_images'])}.\n",
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
    pictures = [f"![{caption}]({picture_path(path, name).name})\n" for name, (_, caption) in figures(found).items()]
    return "\n".join([*lines, "", *verdicts, "", *pictures])
