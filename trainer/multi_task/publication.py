"""Figures of a multi-task experiment for ``docs/results``: a dated JSON file with its pictures, and a page of them."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.multi_task import wording
from trainer.multi_task.figures import labels_text
from trainer.multi_task.page import figures
from trainer.report.markdown_table import literal, table
from trainer.report.origin import machine_facts
from trainer.report.published_study import StudyKind, file_words, picture_path, study_path
from trainer.report.report import png_bytes

PAGE = "multi-task.md"
FILES = "multi-task-*.json"
PICTURES = re.compile(r"(forest-(dice|ring_ece)|reliability)-(\d+|all)|gain|compute|cases-.+")
"""Names that `figures` gives, and those of cases."""
PRIVATE = ("picture_failures",)
"""Messages with names of images that nobody asked to publish."""
FOLDERS = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[/\\](?:[^\s/\\]+[/\\])+")
"""Of a path from the root on, what comes before its last part."""
TEXT = """# One network for all datasets, or one for each?

Made by `python -m trainer experiment multi-task`; nothing on this page is typed by hand.
"""


def publish(
    result: Mapping[str, Any],
    command: Sequence[str],
    folder: Path,
    cases: Path | None = None,
    places: Sequence[Path] = (),
) -> tuple[Path, Path]:
    """Write ``multi-task-DATE-TITLE.json`` and its pictures to ``folder``, and the page of all such files.

    Images are other people's: cases are shown only if that is asked for, small, and only of datasets whose terms
    permit it; of all others not even the names are written.

    Args:
        result: content of ``metrics.json``.
        command: arguments; of paths only the last part is kept.
        folder: where to.
        cases: folder of the small pictures of cases; None: none are published.
        places: folders that messages may name, cut as a whole: a path with a space cannot be told from words.

    Returns:
        Paths of the JSON file and of the page.

    Raises:
        UsageError: another title is spelt alike in file names.
    """
    date = datetime.date.today().isoformat()
    content = {
        "command": [Path(word).name for word in command],
        "commit": result["commit"],
        "machine": machine_facts(0),
        "date": date,
        "results": _without_folders(
            {key: value for key, value in result.items() if key not in PRIVATE}
            | {"cases": _published_cases(result, cases)},
            places,
        ),
    }
    path = study_path(folder, KIND.prefix, date, file_words(result["title"]))
    return KIND.publish(path, content, lambda written: _drawn(written["results"], cases))


def require_title(folder: Path, title: str, places: Sequence[Path] = ()) -> None:
    """Refuse a title before anything is trained that could not be published afterwards; arguments as of `publish`.

    Raises:
        UsageError: another title is spelt alike in file names.
    """
    KIND.files_of(folder, file_words(title), (_without_folders(title, places),))


def _drawn(result: Mapping[str, Any], cases: Path | None) -> dict[str, bytes]:
    """Pictures by name; those of cases lie in a folder already."""
    made = {name: png_bytes(figure) for name, (figure, _) in figures(result).items()}
    if cases is not None:
        names = zip(_case_names(result["cases"]), result["cases"], strict=True)
        made |= {name: (cases / entry["picture"]).read_bytes() for name, entry in names}
    return made


def published_page(folder: Path) -> str:
    """The page of all published JSON files of a folder."""
    contents = {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(FILES))}
    told = wording.definitions(*(content["results"] for content in contents.values()))
    definitions = [f"{paragraph}\n" for paragraph in told]
    return "\n".join([TEXT, *definitions, *(_section(path, content) for path, content in contents.items())])


def _published_cases(result: Mapping[str, Any], cases: Path | None) -> list[Any]:
    return [] if cases is None else [entry for entry in result["cases"] if entry["may_be_published"]]


def _case_names(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of pictures of cases: every file system and every link can hold them, and no two are alike anywhere."""
    names: list[str] = []
    for entry in entries:
        plain = name = f"cases-{re.sub(r'[^A-Za-z0-9._-]+', '-', entry['dataset'])}"
        taken = {known.lower() for known in names}
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names


def _without_folders(value: Any, places: Sequence[Path]) -> Any:
    """Plain values with the last part of every path from the root on: where files lie here is nobody's business."""
    if isinstance(value, Mapping):
        return {key: _without_folders(item, places) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_folders(item, places) for item in value]
    if not isinstance(value, str):
        return value
    # The longest first: one place may lie in another.
    for place in sorted((str(place.absolute()) for place in places), key=len, reverse=True):
        if len(place) > len(Path(place).anchor):
            value = re.sub(rf"{re.escape(place)}[/\\]", "", value)
            value = value.replace(place, Path(place).name)
    return FOLDERS.sub("", value)


def _section(path: Path, content: Mapping[str, Any]) -> str:
    result = content["results"]
    lines = [
        f"## {literal(result['title'])}, {content['date']}\n",
        f"Figures: [{path.name}]({path.name}), from commit `{content['commit'] or 'unknown'}`, "
        f"{content['machine'].get('processor', 'unknown processor')}.\n",
        *(f"- {wording.verdict_sentence(result, regime)}" for regime in result["regimes"]),
        *(f"- {sentence}" for sentence in wording.folds_sentences(result)),
        *(f"- {literal(sentence)}" for sentence in wording.trouble_sentences(result)),
        "",
    ]
    for regime in result["regimes"]:
        lines += [f"### {labels_text(regime['labelled_groups'])} patients with labels\n"]
        told = (*wording.shortage_sentences(result, regime), *wording.empty_sentences(regime))
        lines += [f"{literal(sentence)}\n" for sentence in told]
        lines += [table(*wording.summary_rows(result, regime)), ""]
        headers, rows = wording.peer_rows(result, regime)
        if rows:
            lines += ["Trainings of nnU-Net:\n", table(headers, [[literal(str(row[0])), *row[1:]] for row in rows]), ""]
        headers, rows = wording.dataset_rows(result, regime, "dice")
        lines += ["Dice (95 % interval):\n", table(headers, [[literal(str(row[0])), *row[1:]] for row in rows]), ""]
    shown = [(name, caption) for name, (_, caption) in figures(result).items()]
    # Files from before there were pictures of cases have none.
    entries = result.get("cases", [])
    shown += zip(_case_names(entries), (wording.case_caption(result, entry) for entry in entries), strict=True)
    lines += [f"![{literal(caption)}]({picture_path(path, name).name})\n" for name, caption in shown]
    return "\n".join(lines)


KIND = StudyKind("multi-task", PAGE, published_page, lambda content: (content["results"]["title"],), PICTURES)
