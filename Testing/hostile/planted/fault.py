"""Faults that are put into the product, to see whether the row of the campaign that is there for them tells."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from Testing.hostile.campaign.catalogue import TRIALS
from Testing.hostile.campaign.row_run import REPOSITORY, tried

IN_CHILDREN = '''"""Plants a fault into {module} of every process that starts with this folder on its path."""

import importlib.util
import sys

{source}


class Planting:
    """Finds the module as ever, and changes it once it is loaded."""

    def find_spec(self, name, path, target=None):
        """Of the module alone."""
        if name != "{module}":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            """Load, then plant."""
            load(module)
            plant(module)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Planting())
'''


@dataclass(frozen=True)
class Fault:
    """One, and the case that has to notice it.

    Attributes:
        what: in words.
        row: of the campaign.
        case: of the row; it holds without the fault.
        says: regular expression of the failure that has to be told.
        plant: puts it into this process; everything is as it was when the test ends.
    """

    what: str
    row: str
    case: str
    says: str
    plant: Callable[[pytest.MonkeyPatch], None]

    def __str__(self) -> str:
        return f"{self.row}: {self.what}"


def require_noticed(fault: Fault, grounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The case holds, and no longer does once the fault is there."""
    row = TRIALS[fault.row]
    assert fault.case in row.cases(), f"{fault.row} never tries {fault.case}"
    sound = tried(row, fault.case, grounds)
    if sound["absent"]:
        pytest.skip(str(sound["absent"]))
    assert sound["failure"] == ""
    fault.plant(monkeypatch)
    failure = str(tried(row, fault.case, grounds)["failure"])
    assert re.search(fault.says, failure), f"{fault}: {failure or 'not noticed'}"


def in_children(module: str, source: str, folder: Path) -> Callable[[pytest.MonkeyPatch], None]:
    """A plant for every Python process that is started from now on.

    Args:
        module: which is changed as soon as it has been imported there.
        source: defines ``plant(module)``.
        folder: for the file that does it.
    """

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        """On the path of the children, before all others."""
        folder.mkdir(exist_ok=True)
        text = IN_CHILDREN.format(module=module, source=source)
        (folder / "sitecustomize.py").write_text(text, encoding="utf-8", newline="\n")
        places = [str(folder), str(REPOSITORY), str(REPOSITORY / "MultiTaskSeg"), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, places)))

    return plant
