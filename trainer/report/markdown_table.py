"""Tables of the generated Markdown pages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from MultiTaskSegLib.runtime.errors import printable
from trainer.report.report import Cell

# Of an underscore only where it does not stand within a word; an address is a link as it is.
_SIGNS = re.compile(r"(https?://[\w.,:;/?&=%#+~@-]+)|[\\`*\[\]<>&#~]|(?<![^\W_])_|_(?![^\W_])")


def literal(text: str) -> str:
    r"""Words from elsewhere (names of folders and files, messages) as they are: nothing in them is markup.

    >>> print(literal("Dataset_1 <b>*x*</b> _y"))
    Dataset_1 \<b\>\*x\*\</b\> \_y
    >>> print(literal("see\nhttps://b.org/a_?x=1&y#z_ & # more"))
    see https://b.org/a_?x=1&y#z_ \& \# more
    """
    return _SIGNS.sub(lambda match: match.group(1) or "\\" + match.group(), printable(" ".join(text.split())))


def code(text: str) -> str:
    r"""Words from elsewhere as code, which they do not end.

    >>> print(code("ab`\n# c"))
    `ab # c`
    """
    return f"`{printable(' '.join(text.replace('`', '').split()))}`"


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A Markdown table.

    >>> print(table(["a", "b"], [["x|y", 1]]))
    | a | b |
    |---|---|
    | x\\|y | 1 |
    """
    text = [f"| {' | '.join(headers)} |", "|" + "---|" * len(headers), *map(line, rows)]
    return "\n".join(text)


def line(cells: Sequence[Cell]) -> str:
    """A line of a table, which no cell ends.

    >>> print(line(["x|y", None, "a\\n| b |"]))
    | x\\|y | – | a \\| b \\| |
    """
    return f"| {' | '.join('–' if cell is None else _in_a_cell(str(cell)) for cell in cells)} |"


def _in_a_cell(text: str) -> str:
    return printable(" ".join(text.splitlines())).replace("|", "\\|")
