"""What may be changed in a node of a syntax tree: one operator each, with all its alternatives."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Pow: ast.Mult,
}
EXTREMES = {"min": "max", "minimum": "maximum", "amin": "amax", "argmin": "argmax", "nanmin": "nanmax", "fmin": "fmax"}
EXTREMES |= {large: small for small, large in EXTREMES.items()}
# Exchanging their arguments changes nothing.
SYMMETRIC = {*EXTREMES, "array_equal", "equal", "logical_and", "logical_or", "gcd", "lcm", "isclose", "allclose"}


class Change(NamedTuple):
    """A node and the text that takes its place."""

    node: ast.expr | ast.stmt
    after: str


def changes(node: ast.AST, parent: ast.AST) -> Iterator[tuple[str, list[Change]]]:
    """Operators that apply to a node, each with its alternatives."""
    for name, operator in OPERATORS.items():
        alternatives = list(operator(node, parent))
        if alternatives:
            yield name, alternatives


def _edited(node: Any, edit: Callable[[Any], None]) -> Change:
    twin = copy.deepcopy(node)
    edit(twin)
    return Change(node, _text(twin))


def _text(node: ast.AST) -> str:
    """Source of a node, in brackets where its surroundings could take it apart."""
    text = ast.unparse(node)
    return f"({text})" if isinstance(node, (ast.BinOp, ast.BoolOp, ast.Compare, ast.UnaryOp, ast.IfExp)) else text


def _comparison(node: ast.AST, parent: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for place, found in enumerate(node.ops):
            for other in COMPARISONS[type(found)]:
                yield _edited(node, lambda twin, at=place, new=other: twin.ops.__setitem__(at, new()))


def _arithmetic(node: ast.AST, parent: ast.AST) -> Iterator[Change]:
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in ARITHMETIC:
        parts = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
        if not any(_is_text(part) for part in parts):
            yield _edited(node, lambda twin: setattr(twin, "op", ARITHMETIC[type(twin.op)]()))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _boolean(node: ast.AST, parent: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield _edited(node, lambda twin: setattr(twin, "op", other()))


def _not_dropped(node: ast.AST, parent: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield Change(node, f"({ast.unparse(node.operand)})")


def _constant(node: ast.AST, parent: ast.AST) -> Iterator[Change]:
    if not isinstance(node, ast.Constant) or isinstance(parent, ast.Slice):
        return
    value = node.value
    if isinstance(value, bool):
        yield Change(node, str(not value))
    elif isinstance(value, (int, float)):
        seen = {value}
        for other in (value + 1, value * 2, 0):
            if other not in seen:
                seen.add(other)
                yield Change(node, repr(other))


def _returned(node: ast.AST, parent: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Return) and node.value:
        yield Change(node, "return None")


def _call_dropped(node: ast.AST, parent: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield Change(node, "pass")


def _extreme(node: ast.AST, parent: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Call) and _called(node) in EXTREMES:
        name = "id" if isinstance(node.func, ast.Name) else "attr"
        other = EXTREMES[_called(node)]
        yield _edited(node, lambda twin: setattr(twin.func, name, other))


def _arguments_swapped(node: ast.AST, parent: ast.AST) -> Iterator[Change]:
    if not isinstance(node, ast.Call) or _called(node) in SYMMETRIC:
        return
    for at, pair in enumerate(pairwise(node.args)):
        starred = any(isinstance(argument, ast.Starred) for argument in pair)
        if not starred and ast.dump(pair[0]) != ast.dump(pair[1]):
            yield _edited(node, lambda twin, at=at: _swap(twin.args, at))


def _swap(items: list[Any], at: int) -> None:
    items[at], items[at + 1] = items[at + 1], items[at]


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", None) or getattr(node.func, "attr", "")


def _condition(node: ast.AST, parent: ast.AST) -> Iterator[Change]:
    # Comparisons and "not" are turned round by operators of their own.
    if isinstance(node, (ast.If, ast.IfExp)):
        own = isinstance(node.test, ast.Compare) and len(node.test.ops) == 1
        if not own and not (isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)):
            yield Change(node.test, f"(not ({ast.unparse(node.test)}))")


def _slice_bound(node: ast.AST, parent: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Slice):
        for bound in (node.lower, node.upper):
            if bound is not None:
                yield Change(bound, f"(({ast.unparse(bound)}) + 1)")


OPERATORS: dict[str, Callable[[ast.AST, ast.AST], Iterator[Change]]] = {
    "comparison": _comparison,
    "arithmetic": _arithmetic,
    "and/or": _boolean,
    "not dropped": _not_dropped,
    "constant": _constant,
    "return value": _returned,
    "call dropped": _call_dropped,
    "min/max": _extreme,
    "arguments swapped": _arguments_swapped,
    "condition": _condition,
    "slice bound": _slice_bound,
}
