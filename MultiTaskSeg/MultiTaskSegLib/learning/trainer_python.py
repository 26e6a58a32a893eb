"""A Python that can train: one in which the trainer is installed, or Slicer's own with the trainer's source code."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.worker_process import python_executable, worker_environment

PROBE = Path(__file__).with_name("trainer_probe.py")
GUARD = Path(__file__).with_name("trainer_guard.py")
TIMEOUT_S = 60.0
CHECKOUT = Path(__file__).resolve().parents[3]
"""Where the source code is, when Slicer uses the modules from a clone of it."""
OF_SLICER = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE")
"""Variables with which Slicer's launcher leads its own Python, and would lead another one astray."""


@dataclass(frozen=True)
class TrainerPython:
    """A Python, and whether it can train.

    Attributes:
        executable: its file.
        missing: names of the packages that it lacks; ``trainer`` is the trainer itself.
        is_own: whether it is the one that Slicer comes with.
        source: folder of MultiTaskSeg's source code, whose trainer is used; None for one that is installed.
    """

    executable: str
    missing: tuple[str, ...] = ()
    is_own: bool = False
    source: Path | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it lacks nothing."""
        return not self.missing

    def environment(self, scratch: Path | None = None) -> dict[str, str]:
        """What its processes find: Slicer's own ways for Slicer's own Python, and none of them for another one."""
        own = worker_environment(scratch)
        if self.source is not None:
            # Trainer and library of one version, whatever the extension has.
            ways = (str(self.source), str(self.source / "MultiTaskSeg"), own["PYTHONPATH"])
            return {**own, "PYTHONPATH": os.pathsep.join(ways)}
        return own if self.is_own else {key: value for key, value in own.items() if key not in OF_SLICER}


def find_trainer(chosen: str = "") -> TrainerPython:
    """Look what a Python lacks for trainings. Starts a process of it and waits, mostly a tenth of a second.

    Args:
        chosen: file of a Python, or the folder of an environment, or the folder of MultiTaskSeg's source code, which
            Slicer's own Python then runs; empty for the source code that the modules lie in, else for what Slicer's own
            Python has.

    Raises:
        ResourceError: there is no such Python, or it does not run.
    """
    own = python_executable()
    folder = Path(chosen).absolute() if chosen else CHECKOUT
    source = folder if is_source(folder) else None
    executable = own if not chosen or source is not None else _executable_of(folder)
    python = TrainerPython(executable, is_own=_is_same(executable, own), source=source)
    return replace(python, missing=tuple(_probed(executable, python.environment())))


def is_source(folder: Path) -> bool:
    """Whether a folder is a checkout, or an unpacked archive, of MultiTaskSeg's source code."""
    return all(
        (folder / part).is_file() for part in ("trainer/__main__.py", "MultiTaskSeg/MultiTaskSegLib/__init__.py")
    )


def _executable_of(chosen: Path) -> str:
    names = ("python.exe", "Scripts/python.exe") if os.name == "nt" else ("bin/python3", "bin/python")
    for path in [chosen / name for name in names] if chosen.is_dir() else [chosen]:
        if path.is_file():
            return str(path)
    raise ResourceError(
        "there is no Python and no trainer here",
        file=chosen,
        remedy="Choose the file of a Python, the folder of an environment, or that of MultiTaskSeg's source code",
    )


def _is_same(one: str, other: str) -> bool:
    # Not what links lead to: the Python of an environment is a link to the one that it was made with.
    return os.path.normcase(os.path.abspath(one)) == os.path.normcase(os.path.abspath(other))


def _probed(executable: str, environment: Mapping[str, str]) -> list[str]:
    try:
        done = subprocess.run(
            [executable, str(PROBE)],
            env=dict(environment),
            capture_output=True,
            check=True,
            timeout=TIMEOUT_S,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
        return [str(name) for name in json.loads(done.stdout)["missing"]]
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:] or ["it left no message"]
        raise ResourceError(f"this Python does not run ({last[0]})", file=executable) from error
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        raise ResourceError(f"this Python cannot be asked what it has ({error})", file=executable) from error
