"""Published figures as JSON: short lines for people who read changes, and rounded to what was measured."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from trainer.report.run_folder import write_text_file

SIGNIFICANT_DIGITS = 6
INLINE_CHARACTERS = 90


def write_published(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Write a file of figures.

    Returns:
        What a reader will find in it: pages and pictures are made from that, so that they agree with the file.
    """
    write_text_file(path, compact(content) + "\n")
    return as_read(content)


def as_read(content: dict[str, Any]) -> dict[str, Any]:
    """What a reader of the file with this content finds.

    >>> as_read({"seconds": (1.23456789, float("nan"))})
    {'seconds': [1.23457, None]}
    """
    found: dict[str, Any] = json.loads(compact(content))
    return found


def compact(value: Any, depth: int = 0) -> str:
    """JSON with one line per key, short objects and lists in one line, numbers rounded to six digits; NaN is null.

    >>> print(compact({"a" * 80: [1, 0.12345678], "b": {"c": 1}}).replace("a" * 80, "a"))
    {
     "a": [1, 0.123457],
     "b": {"c": 1}
    }
    """
    flat = json.dumps(_rounded(value), ensure_ascii=False)
    if isinstance(value, dict) and len(flat) > INLINE_CHARACTERS:
        inner = ",\n".join(f"{' ' * (depth + 1)}{json.dumps(k)}: {compact(v, depth + 1)}" for k, v in value.items())
        return f"{{\n{inner}\n{' ' * depth}}}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        inner = ",\n".join(f"{' ' * (depth + 1)}{compact(item, depth + 1)}" for item in value)
        return f"[\n{inner}\n{' ' * depth}]"
    return flat


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return value
