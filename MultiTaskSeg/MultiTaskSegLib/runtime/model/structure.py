"""Frozen dataclasses from plain JSON values, strictly: every key must be known, every type must fit."""

from __future__ import annotations

import dataclasses
import math
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

LATER = {"later": True}
"""``metadata`` of a field that came later: with its default it is not written, so that older programs read the file."""


def from_plain(kind: type[T], value: Any, where: str = "") -> T:
    """Build ``kind`` from JSON values.

    Supports dataclasses, tuples, dictionaries with string keys, ``Literal``, optionals and plain values.

    Raises:
        ValueError: an unknown or missing key, or a value of the wrong type; the message names the place.
    """
    result: T = _build(kind, value, where or kind.__name__)
    return result


def to_plain(value: Any) -> Any:
    """The inverse of `from_plain`: dataclasses to dictionaries, tuples to lists; see also `LATER`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        values = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if _is_written(f, value)}
        return {name: to_plain(item) for name, item in values.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    return value


def _is_written(field: dataclasses.Field[Any], value: Any) -> bool:
    return "later" not in field.metadata or getattr(value, field.name) != field.default


def _build(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _build_dataclass(hint, value, where)
    if origin in (Union, types.UnionType):
        return None if value is None else _build(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is {value!r}, not one of {arguments}")
        return value
    if origin is tuple:
        return _build_tuple(arguments, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{where} is not an object")
        return {str(key): _build(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return _build_plain(hint, value, where)


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is not an object")
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(value) - set(fields))
    required = {n for n, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING}
    missing = sorted(required - set(value))
    if unknown or missing:
        raise ValueError(f"{where} has unknown keys {unknown}" if unknown else f"{where} lacks {missing}")
    return kind(**{name: _build(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def _build_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{where} is not a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise ValueError(f"{where} has {len(value)} entries, not {len(arguments)}")
    return tuple(_build(a, item, f"{where}[{i}]") for i, (a, item) in enumerate(zip(arguments, value, strict=True)))


def _build_plain(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            raise ValueError(f"{where} is too large") from None
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{where} is {value!r}, not {hint.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is not finite")
    return value
