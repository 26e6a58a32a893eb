"""What changed on a page of published figures, and why: read from a file beside it."""

from __future__ import annotations

import json
from pathlib import Path


def change_list(folder: Path, page: str) -> str:
    """The section of a page of ``docs/results`` that says which of its figures were corrected; empty without any.

    Args:
        folder: of the page.
        page: its file name; ``changes-NAME.json`` beside it holds sentences by date.
    """
    path = folder / f"changes-{Path(page).stem}.json"
    if not path.is_file():
        return ""
    by_date: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    parts = ["## What changed\n"]
    for date in sorted(by_date, reverse=True):
        parts.append("\n".join([f"{date}:\n", *(f"- {sentence}" for sentence in by_date[date])]) + "\n")
    return "\n".join(parts)
