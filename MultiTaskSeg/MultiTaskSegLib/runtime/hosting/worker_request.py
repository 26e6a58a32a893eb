"""What a request to the worker may hold."""

from __future__ import annotations

import json
from types import NoneType
from typing import Any

from MultiTaskSegLib.runtime.errors import UsageError

Request = dict[str, Any]

KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("command", "device", "file", "image", "measured", "name", "output", "task", "voxels"), (str,)),
    **dict.fromkeys(("keep", "map", "planar", "thorough", "thumbnail", "whole_check", "write"), (bool,)),
    **dict.fromkeys(("configuration", "folder", "licence", "plans", "trainer"), (str,)),
    "folds": (list,),
    "model": (str, NoneType),
    "further": (list,),
    "structures": (list,),
    "region": (dict, NoneType),
    "warnings": (list,),
}
WORDS = {str: "a text", bool: "true or false", NoneType: "null", list: "a list", dict: "an object"}
SHOWN_CHARACTERS = 40


def parsed_request(line: str) -> Request:
    """The JSON object of a line.

    Raises:
        UsageError: it is none.
    """
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not a JSON line: {error}") from error
    if not isinstance(request, dict):
        raise UsageError("a request is a JSON object")
    return request


def require_kinds(request: Request) -> None:
    """Refuse values of another kind than each entry has; what is missing is told by whoever needs it.

    Raises:
        UsageError: there is one.
    """
    for name, kinds in KINDS.items():
        if name in request and not isinstance(request[name], kinds):
            shown = json.dumps(request[name])[:SHOWN_CHARACTERS]
            raise UsageError(
                f"{name} of the request is {shown}", remedy=f"Give {' or '.join(WORDS[kind] for kind in kinds)}"
            )
