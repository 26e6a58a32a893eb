"""The rows of a batch as one page in HTML: pictures, verdicts, figures, and links to the files. No torch here.

The page holds all that it shows, runs nothing, and asks for nothing else. Whatever a name contains is shown as text.
"""

from __future__ import annotations

import base64
import html
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.batch_table import Column, batch_columns
from MultiTaskSegLib.picture.verdict_colour import COLOURS, UNCHECKED_COLOUR
from MultiTaskSegLib.runtime.machine.result_place import RESULT_FILES

TITLE = "MultiTaskSeg batch"
FAILED = "not done"
HEADLINES = ("image", "verdict", "error", "warnings")  # columns that have a place of their own
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1.25rem; }
article { border: 1px solid #888888; border-radius: 6px; padding: 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0.6rem 0; }
img, .missing { display: block; max-width: 100%; }
.missing { padding: 3rem 0; text-align: center; border: 5px solid; opacity: 0.8; }
.verdict { color: #fff; padding: 0.15rem 0.5rem; border-radius: 4px; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0.1rem 0.8rem; }
dt { opacity: 0.75; } dd { margin: 0; }
"""


def batch_page(rows: Sequence[BatchRow], folder: str | Path) -> str:
    """The text of the page.

    Args:
        rows: of a batch, see `batch_columns` for their figures.
        folder: where the page will lie: files in it, or below, are linked to from there, so that it can be moved.
    """
    counts = Counter(_words(row) for row in rows)
    summary = ", ".join(f"{count} {words}" for words, count in counts.most_common())
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>'
        f"<style>{STYLE}</style></head>"
        f"\n<body><h1>{TITLE}</h1><p>{len(rows)} images: {html.escape(summary)}</p>"
        f"\n{cards(rows, folder)}</body></html>\n"
    )


def cards(rows: Sequence[BatchRow], folder: str | Path) -> str:
    """A card for each row, as part of a page with `STYLE`; arguments as of `batch_page`."""
    columns = batch_columns(rows)
    shown = "\n".join(_card(row, _figures(columns, number), Path(folder)) for number, row in enumerate(rows))
    return f"<main>\n{shown}\n</main>"


def _words(row: BatchRow) -> str:
    return FAILED if row.error else row.verdict


def _figures(columns: Sequence[Column], number: int) -> list[tuple[str, str]]:
    """Titles and values of a row, without those that are missing."""
    cells = ((title, values[number]) for title, values in columns if title not in HEADLINES)
    shown = ((title, _text(cell)) for title, cell in cells if cell is not None)
    return [(title, text) for title, text in shown if text]


def _text(cell: str | float) -> str:
    """Four digits, all of them where a figure has more before its point: nobody reads millilitres as 1.2e+04."""
    if isinstance(cell, str):
        return cell
    return f"{cell:.0f}" if abs(cell) >= 1e3 else f"{cell:.4g}"


def _card(row: BatchRow, figures: Sequence[tuple[str, str]], folder: Path) -> str:
    colour = COLOURS.get(row.verdict, UNCHECKED_COLOUR)
    notes = "".join(f"<p>{html.escape(text)}</p>" for text in (row.error, *row.warnings) if text)
    listed = "".join(f"<dt>{html.escape(title)}</dt><dd>{html.escape(text)}</dd>" for title, text in figures)
    return (
        f"<article>{_picture(row, colour)}<h2>{html.escape(row.image)}</h2>"
        f'<p><span class="verdict" style="background: {colour}">{html.escape(_words(row))}</span></p>'
        f"{notes}<dl>{listed}</dl>{_links(row, folder)}</article>"
    )


def _picture(row: BatchRow, colour: str) -> str:
    if not row.thumbnail:
        return f'<span class="missing" style="border-color: {colour}">no picture</span>'
    data = base64.b64encode(row.thumbnail).decode("ascii")
    return f'<img alt="{html.escape(row.image)}" src="data:image/png;base64,{data}">'


def _links(row: BatchRow, folder: Path) -> str:
    """Links to those result files that are there."""
    files = [Path(row.output) / name for name in RESULT_FILES] if row.output else []
    links = [f'<a href="{html.escape(_address(file, folder))}">{file.name}</a>' for file in files if file.is_file()]
    return f"<p>{' · '.join(links)}</p>" if links else ""


def _address(file: Path, folder: Path) -> str:
    """From the page to a file: relative where it lies below, so that both can be moved together."""
    place, here = file.resolve(), folder.resolve()
    return quote(os.fsencode(place.relative_to(here).as_posix())) if place.is_relative_to(here) else place.as_uri()
