"""JSON for a terminal: readable, and without letters that could move its cursor."""

from __future__ import annotations

import json
from typing import Any

from MultiTaskSegLib.runtime.errors import BEYOND_ASCII

# The same text for whoever reads the JSON.
ESCAPES = {code: f"\\u{code:04x}" for code in BEYOND_ASCII}


def json_text(value: Any) -> str:
    """Plain values as indented JSON, in which control characters beyond ASCII are escaped, too.

    >>> json_text("\\x9bü")
    '"\\\\u009bü"'
    """
    return json.dumps(value, indent=1, ensure_ascii=False).translate(ESCAPES)
