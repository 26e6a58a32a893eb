"""A Python other than Slicer's for the worker, and an environment without what Slicer set for its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Slicer's launcher sets these for its own Python and libraries: another one would look for its modules there.
SLICERS_OWN = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONSTARTUP")
LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "QT_PLUGIN_PATH")


@dataclass(frozen=True)
class OtherPython:
    """An interpreter.

    Attributes:
        path: of the program.
        outside: the environment as it was before Slicer was started; None where nobody knows, and then what Slicer is
            known to set is left out.
    """

    path: Path
    outside: Mapping[str, str] | None = None

    def environment(self) -> dict[str, str]:
        """What the interpreter is started with."""
        if self.outside is None:
            left_out = {*SLICERS_OWN, *LIBRARY_PATHS}
            found = {name: value for name, value in os.environ.items() if name not in left_out}
        else:
            found = {name: value for name, value in self.outside.items() if name not in SLICERS_OWN}
        # The packages of a virtual environment come with its interpreter; those in a user's folder may be of any age.
        return {**found, "PYTHONNOUSERSITE": "1"}


_chosen: OtherPython | None = None


def use_python(other: OtherPython | None) -> bool:
    """Let the next worker run with another Python; None for Slicer's own. Whether that is a change."""
    global _chosen
    is_change, _chosen = other != _chosen, other
    return is_change


def other_python() -> OtherPython | None:
    """The one that was chosen; None for Slicer's own."""
    return _chosen
