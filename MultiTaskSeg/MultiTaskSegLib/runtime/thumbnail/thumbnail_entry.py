"""The picture of a result, beside its other files for the parent of the worker."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.thumbnail.thumbnail import thumbnail

FILE = "thumbnail.npy"


def thumbnail_entry(found: Segmentation, request: Mapping[str, Any]) -> dict[str, str]:
    """Write the picture where the request asks for one; the entry of the event that names the file.

    A result is worth more than its picture: what goes wrong is told in ``thumbnail_failure``, and in the log.
    """
    if not request.get("thumbnail", False):
        return {}
    file = Path(request["output"]) / FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        colours = {label.value: label.colour for label in found.task.labels}
        np.save(file, thumbnail(found.volume, found.labels, colours, found.regions))
    except Exception as error:  # whatever it is, the result stays
        traceback.print_exc(file=sys.stderr)
        return {"thumbnail_failure": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    return {"thumbnail": str(file)}
