"""Tables of the generated Markdown pages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainer.report.report import Cell

# Of an underscore only where it does not stand within a word.
_SIGNS = re.compile(r"[\\`*\[\]<>&#~]|(?<![^\W_])_|_(?![^\W_])")


def literal(text: str) -> str:
    r"""Words from elsewhere (names of folders and files, messages) as they are: nothing in them is markup.

    >>> print(literal("Dataset_1 <b>*x*</b> _y"))
    Dataset_1 \<b\>\*x\*\</b\> \_y
    """
    return _SIGNS.sub(lambda match: "\\" + match.group(), " ".join(text.split()))


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
