"""Values out of plans.json and dataset.json, each told by name where it is not what it should be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError

# Plans have some ten thousand bytes, a dataset that lists all its cases a million.
MAX_JSON_BYTES = 8 * 2**20
# Python before 3.11 takes for ever to read a number of a million digits.
MAX_DIGITS = 400
MAX_NESTING = 40
MAX_LETTERS = 300
# No planned network comes near; absurd ones take all memory before they fail.
MAX_INTEGER = 1_000_000
LARGEST = 1e30


class PlanValues:
    """A part of a file of nnU-Net.

    Args:
        values: the part.
        where: its name for errors, such as ``configurations.3d_fullres``.
        file: that it comes from.
    """

    def __init__(self, values: Any, where: str, file: str | Path) -> None:
        self.where, self.file = where, file
        if not isinstance(values, Mapping):
            raise self.refusal("is missing or no table")
        self.values: Mapping[str, Any] = values

    def part(self, key: str) -> PlanValues:
        """A table inside this one."""
        return PlanValues(self.values.get(key), f"{self.where}.{key}".lstrip("."), self.file)

    def text(self, key: str) -> str:
        """A text."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.refusal("is missing or no text", key)
        return value

    def integer(self, key: str, low: int = 1, high: int = MAX_INTEGER) -> int:
        """A whole number."""
        return self._integer(self.values.get(key), key, low, high)

    def integers(self, key: str, low: int = 1, high: int = MAX_INTEGER) -> tuple[int, ...]:
        """A list of whole numbers, not empty."""
        return tuple(self._integer(entry, key, low, high) for entry in self._list(key))

    def rows(self, key: str, width: int, low: int = 1, high: int = MAX_INTEGER) -> tuple[tuple[int, ...], ...]:
        """A list of lists of whole numbers, each of one length; a number stands for a list of equal ones."""
        rows = [entry if isinstance(entry, list) else [entry] * width for entry in self._list(key)]
        if any(len(row) != width for row in rows):
            raise self.refusal(f"does not have {width} numbers in each row", key)
        return tuple(tuple(self._integer(entry, key, low, high) for entry in row) for row in rows)

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of positive numbers, not empty."""
        values = self._list(key)
        if not all(_is_number(value) and value > 0 for value in values):
            raise self.refusal("holds something else than positive numbers", key)
        return tuple(float(value) for value in values)

    def number(self, key: str) -> float:
        """A finite number."""
        value = self.values.get(key)
        if not _is_number(value):
            raise self.refusal("is missing or no number", key)
        return float(value)  # type: ignore[arg-type]

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.refusal("is neither true nor false", key)
        return value

    def choice(self, key: str, known: Mapping[str, Any]) -> Any:
        """What a name of a fixed table stands for; names are looked up nowhere else."""
        name = self.text(key)
        if name not in known:
            raise self.refusal(f"is {name!r}, which is not supported (known: {', '.join(known)})", key)
        return known[name]

    def require_known(self, keys: set[str]) -> None:
        """Refuse keys that nobody here reads: they might change what the network computes."""
        if unknown := sorted(set(self.values) - keys):
            raise self.refusal(f"has settings that are not supported: {', '.join(unknown)}")

    def refusal(self, what: str, key: str = "") -> ModelError:
        """An error about this part."""
        text = f"{f'{self.where}.{key}'.strip('.') or 'the file'} {what}"
        # Names in the file may be of any length, and hold what moves the cursor of a terminal.
        text = "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_LETTERS])
        return ModelError(text, file=self.file)

    def _list(self, key: str) -> list[Any]:
        value = self.values.get(key)
        if not isinstance(value, list) or not value:
            raise self.refusal("is missing, empty or no list", key)
        return value

    def _integer(self, value: Any, key: str, low: int, high: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.refusal(f"is no whole number of {low} to {high}", key)
        return value


def json_values(content: bytes, file: str | Path) -> PlanValues:
    """The table that a JSON file holds.

    Raises:
        ModelError: it is no JSON, too large or no table.
    """
    if len(content) > MAX_JSON_BYTES:
        raise ModelError("the file is too large for what it should be", file=file)
    try:
        values = json.loads(content, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise ModelError("the file is no JSON", file=file, remedy="Copy the results folder again") from error
    if _is_deeper(values, MAX_NESTING):
        raise ModelError(
            "the file has tables in tables beyond measure", file=file, remedy="Copy the results folder again"
        )
    return PlanValues(values, "", file)


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("too many digits")
    return int(digits)


def _is_deeper(values: Any, depth: int) -> bool:
    """Whether tables and lists lie in each other more than so many times."""
    if not isinstance(values, dict | list):
        return False
    parts = values.values() if isinstance(values, dict) else values
    return depth == 0 or any(_is_deeper(part, depth - 1) for part in parts)


def _is_number(value: Any) -> bool:
    # Whole numbers beyond any float cannot even be asked whether they are finite.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST and isfinite(value)
