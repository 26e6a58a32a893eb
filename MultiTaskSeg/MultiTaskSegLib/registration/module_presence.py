"""Whether a module is there: users can disable either of the two in Slicer's settings."""

from __future__ import annotations

import slicer


def has_module(name: str) -> bool:
    """Whether Slicer has loaded a module."""
    return hasattr(slicer.modules, name.lower())
