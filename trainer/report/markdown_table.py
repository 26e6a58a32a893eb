"""Tables of the generated Markdown pages."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.report import Cell


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A Markdown table.

    >>> print(table(["a", "b"], [["x|y", 1]]))
    | a | b |
    |---|---|
    | x\\|y | 1 |
    """
    cells = [["–" if cell is None else str(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = [list(headers), *cells]
    text = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([text[0], "|" + "---|" * len(headers), *text[1:]])
