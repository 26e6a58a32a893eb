"""Figures of two-stage learning for ``docs/results``: a dated JSON file with its pictures, and a page of such files."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.data.dataset import dataset_name
from trainer.report.markdown_table import table
from trainer.report.origin import machine_facts
from trainer.report.published_study import StudyKind, picture_path, study_path
from trainer.report.report import png_bytes
from trainer.report.run_folder import MODEL_SUFFIX
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

    Raises:
        UsageError: the name is that of a published model of another target.
    """
    content = {
        "command": [Path(word).name for word in command],
        "commit": found["commit"],
        "machine": machine_facts(0),
        "config": settings.as_dict(),
        "date": datetime.date.today().isoformat(),
        "results": found,
    }
    path = study_path(folder, KIND.prefix, str(content["date"]), found["name"])
    return KIND.publish(
        path, content, lambda written: {n: png_bytes(figure) for n, (figure, _) in figures(written["results"]).items()}
    )


def require_name(folder: Path, model: Path, target: Path) -> None:
    """Refuse a model's name before anything is trained whose figures could not be published afterwards.

    Args:
        folder: of what is published.
        model, target: files of the experiment, see `trainer.two_stage.experiment.Request`.

    Raises:
        UsageError: the name is that of a published model of another target.
    """
    name = model.name.removesuffix(MODEL_SUFFIX)
    KIND.files_of(folder, name, (name, dataset_name(target)))


def published_page(folder: Path) -> str:
    """The page of all published JSON files of a folder."""
    return "\n".join([TEXT, *(_section(path) for path in sorted(folder.glob(FILES)))])


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


KIND = StudyKind(
    "two-stage",
    PAGE,
    published_page,
    lambda content: (content["results"]["name"], content["results"]["target"]),
    re.compile("methods|curves"),
)
