"""One number for everything that a result depends on."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_text(value: Any) -> str:
    """Plain values as JSON that is the same whatever the order of a table's keys; the order of lists counts.

    Raises:
        TypeError, ValueError: there is something else than texts, numbers, lists and tables, or a number that is not
            finite.
    """
    return json.dumps(value, sort_keys=True, allow_nan=False)


def fingerprint(value: Any) -> str:
    """SHA-256 of plain values, 64 hexadecimal digits.

    >>> fingerprint({"a": 1, "b": (2, 3)}) == fingerprint({"b": [2, 3], "a": 1})
    True

    Raises:
        TypeError, ValueError: as `canonical_text`.
    """
    return hashlib.sha256(canonical_text(value).encode()).hexdigest()
