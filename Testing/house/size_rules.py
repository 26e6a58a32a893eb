"""How large a file and a function may be, and what has to be said about each public name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from Testing.house.source_tree import Source

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
NAMED_AFTER_NOTHING = re.compile(r"(^|/)(utils?|common|helpers?|misc|tools?)(\.py|/)")


def too_large(source: Source) -> list[str]:
    """Files and functions beyond the limits, and files named after nothing."""
    found = [f"{source.name}: {source.line_count} lines"] if source.line_count > MAX_FILE_LINES else []
    for function in source.functions:
        lines = function_lines(function)
        if lines > MAX_FUNCTION_LINES:
            found.append(f"{source.name}:{function.lineno} {function.name} has {lines} lines")
    if NAMED_AFTER_NOTHING.search(source.name):
        found.append(f"{source.name}: name it after the one noun it holds")
    return found


def function_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Physical lines from the def to the last statement."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def undocumented(source: Source) -> list[str]:
    """Public names, and the file itself, without a docstring."""
    found = [] if ast.get_docstring(source.tree) or not source.tree.body else [f"{source.name}: no docstring"]
    for node in _public_definitions(source.tree):
        if not ast.get_docstring(node):
            found.append(f"{source.name}:{node.lineno} {node.name} has no docstring")
    return found


def _public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node


def unannotated(source: Source) -> list[str]:
    """Parameters without a type."""
    found = []
    for function in source.functions:
        arguments = function.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        for argument in every:
            if argument and argument.annotation is None and argument.arg not in ("self", "cls"):
                found.append(f"{source.name}:{argument.lineno} {function.name}({argument.arg})")
    return found
