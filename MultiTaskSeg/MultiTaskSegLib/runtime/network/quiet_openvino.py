"""OpenVINO without the part of it that reports its use."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import Any

OPENVINO = "openvino"
TELEMETRY = "openvino_telemetry"


def is_openvino_usable() -> bool:
    """Whether it is installed, and nobody in this process has loaded its telemetry yet."""
    return find_spec(OPENVINO) is not None and sys.modules.get(TELEMETRY) is None


def quiet_openvino() -> Any:
    """The package ``openvino``, which would else tell its maker of every import and every converted network.

    Its telemetry takes silence for consent: it writes a number for this user into the home folder and sends it over the
    network from a process of its own. Where that package cannot be imported, a stub of OpenVINO takes its place.

    Raises:
        ImportError: it is not installed, or the telemetry is at work in this process already.
    """
    if sys.modules.get(TELEMETRY) is not None:
        raise ImportError(f"{TELEMETRY} is loaded already: OpenVINO would report that it is used")
    # How Python is told that there is no such package.
    modules: dict[str, Any] = sys.modules
    modules[TELEMETRY] = None
    return importlib.import_module(OPENVINO)
