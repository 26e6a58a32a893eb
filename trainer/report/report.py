"""A report as one HTML file: plots first, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path

STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --soft: #57606a; --page: #ffffff; --card: #f6f8fa; --line: #d0d7de; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9da7b1; --page: #0f1318; --card: #171c23; --line: #323a44; }
}
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1.5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
figure { margin: 1.25rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line);
  border-radius: 8px; }
figcaption, caption { color: var(--soft); font-size: .92rem; text-align: left; padding: .5rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .75rem; border-bottom: 1px solid var(--line); }
thead th { background: var(--card); }
td.number { text-align: right; }
.good { color: #1a7f37; font-weight: 600; } .bad { color: #cf222e; font-weight: 600; }
@media (prefers-color-scheme: dark) { .good { color: #4ac26b; } .bad { color: #ff7b72; } }
"""

Cell = str | float | int | None


class Report:
    """Collects figures, tables and text and writes them as one accessible page, for light and dark screens.

    Figures come first, whatever the order in which things were added; then text and tables in their order. Every text
    is escaped, so names from files cannot add markup.

    Args:
        title: heading of the page.

    >>> page = Report("Run <1>").add_text("done").html()
    >>> "Run &lt;1&gt;" in page, "<p>done</p>" in page
    (True, True)
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._figures: list[str] = []
        self._rest: list[str] = []

    def add_figure(self, figure: Figure, caption: str) -> Report:
        """Adds a plot.

        Args:
            figure: drawn at once; later changes to it do not show.
            caption: shown below the plot, and what a screen reader says in its place.
        """
        return self.add_png(png_bytes(figure), caption)

    def add_png(self, png: bytes, caption: str) -> Report:
        """Adds a picture that is drawn already.

        Args:
            png: content of a PNG file.
            caption: as for `add_figure`.
        """
        data = base64.b64encode(png).decode("ascii")
        text = html.escape(caption)
        self._figures.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
        )
        return self

    def add_table(self, headers: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str) -> Report:
        """Adds a table; the first cell of each row is its heading.

        Args:
            headers: one per column.
            rows: texts and numbers; numbers are shown with four digits and None as a dash.
            caption: what the table shows.

        Raises:
            ValueError: a row is not as long as the headers.
        """
        if any(len(row) != len(headers) for row in rows):
            raise ValueError(f"every row needs {len(headers)} cells")
        head = "".join(f'<th scope="col">{html.escape(header)}</th>' for header in headers)
        body = "".join(
            f'<tr><th scope="row">{_cell_text(row[0])}</th>{"".join(_cell(value) for value in row[1:])}</tr>'
            for row in rows
        )
        self._rest.append(
            f'<div class="scroll"><table><caption>{html.escape(caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )
        return self

    def add_text(self, text: str) -> Report:
        """Adds text; an empty line starts a new paragraph."""
        paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
        self._rest.extend(f"<p>{html.escape(part)}</p>" for part in paragraphs if part)
        return self

    def add_heading(self, text: str) -> Report:
        """Adds a heading over the tables and texts that follow."""
        self._rest.append(f"<h2>{html.escape(text)}</h2>")
        return self

    def add_verdict(self, text: str, is_good: bool) -> Report:
        """Adds one emphasised line; its words must carry the meaning, the colour only underlines it."""
        self._rest.append(f'<p class="{"good" if is_good else "bad"}">{html.escape(text)}</p>')
        return self

    def html(self) -> str:
        """The whole page."""
        title = html.escape(self._title)
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{STYLE}</style></head>\n"
            f"<body><main><h1>{title}</h1>\n" + "\n".join(self._figures + self._rest) + "\n</main></body></html>\n"
        )

    def write(self, path: Path) -> Path:
        """Writes the page; a reader sees the old file or the whole new one, never a part.

        Raises:
            ResourceError: the file cannot be written.
        """
        return write_whole(Path(path), self.html().encode("utf-8"))


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, drawn without any window system."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    # Without the software tag the same figure always gives the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def write_whole(path: Path, content: bytes) -> Path:
    """Writes a file that appears whole or not at all.

    Raises:
        ResourceError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return path


def _cell_text(value: Cell) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return html.escape(str(value))


def _cell(value: Cell) -> str:
    kind = ' class="number"' if isinstance(value, (int, float)) else ""
    return f"<td{kind}>{_cell_text(value)}</td>"
