"""What of an image a request to the worker wants."""

from __future__ import annotations

from MultiTaskSegLib.runtime.hosting.worker_request import Request
from MultiTaskSegLib.runtime.selection.region import Region
from MultiTaskSegLib.runtime.selection.selection import AUTO, Selection


def requested(request: Request) -> Selection:
    """``task``, ``region`` as of `Region.as_dict`, ``whole_check``, ``structures`` and ``thorough`` of a request.

    Raises:
        UsageError: the region is none.
    """
    region = request.get("region")
    names = tuple(str(name) for name in request.get("structures", ()))
    box = None if region is None else Region.from_dict(region)
    return Selection(
        request.get("task", AUTO), box, request.get("whole_check", False), names, request.get("thorough", False)
    )
