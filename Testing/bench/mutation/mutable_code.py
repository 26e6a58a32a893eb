"""The parts of a source file whose change a test can be asked to notice.

Left out: docstrings and texts, annotations, decorators, ``__all__``, blocks for type checkers and ``__main__``, what is
raised (its message), calls that log or tell, and ``__repr__``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

TELLING = {"logging", "logger", "log", "_log", "_logger", "LOG", "LOGGER", "warnings"}
TELLING_FUNCTIONS = {"print", "cast", "TypeVar", "sys.stderr.write", "sys.stdout.write"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Place:
    """A node, what it is part of, and the statement that it belongs to."""

    node: ast.AST
    parent: ast.AST
    first_line: int
    last_line: int
    at_import: bool


def places(tree: ast.Module) -> Iterator[Place]:
    """Every node that may be changed, parents first, in the order of the text."""
    for child in tree.body:
        yield from _below(child, tree, (child.lineno, child.lineno), at_import=True)


def _below(node: ast.AST, parent: ast.AST, lines: tuple[int, int], at_import: bool) -> Iterator[Place]:
    if _left_out(node):
        return
    if isinstance(node, ast.stmt):
        lines = (node.lineno, _end_of_head(node))
    yield Place(node, parent, *lines, at_import)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "msg", "format_spec", "keywords_only"):
            continue
        inside = at_import and not (isinstance(node, FUNCTIONS) and name == "body")
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _below(child, node, lines, inside)


def _end_of_head(statement: ast.stmt) -> int:
    """Last line of a statement, without the block that it may head."""
    body = getattr(statement, "body", None)
    end = statement.end_lineno or statement.lineno
    return max(statement.lineno, min(end, body[0].lineno - 1)) if body else end


def _left_out(node: ast.AST) -> bool:
    match node:
        case ast.Raise() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.FunctionDef(name="__repr__"):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.If(test=test):
            return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")
        case ast.Call(func=function):
            name = ast.unparse(function)
            return name in TELLING_FUNCTIONS or name.split(".")[0] in TELLING
        case ast.Expr(value=value):
            # A text that stands alone is a docstring; a call that only tells is left out with its statement.
            return isinstance(value, ast.Constant) or _left_out(value)
    return False
