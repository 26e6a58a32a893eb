"""Environments with a Python on this machine, where people usually keep them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

CONDA_LIST = Path(".conda") / "environments.txt"
CONDA_FOLDERS = ("miniforge3", "mambaforge", "miniconda3", "anaconda3")
VENV_FOLDERS = (".venvs", ".virtualenvs", "venvs")


def found_pythons(home: Path | None = None) -> list[Path]:
    """Interpreters of conda's and other virtual environments, and the one on the search path; nothing is started.

    Args:
        home: of the user; by default that of this process.
    """
    home = Path.home() if home is None else home
    found = [python for folder in _folders(home) if (python := python_in(folder)) is not None]
    on_path = shutil.which("python3") or shutil.which("python")
    if on_path is not None:
        found.append(Path(on_path))
    return list(dict.fromkeys(found))


def python_in(folder: Path) -> Path | None:
    """The interpreter of an environment's folder; None where there is none."""
    places = (folder / "python.exe", folder / "Scripts" / "python.exe")
    if os.name != "nt":
        places = (folder / "bin" / "python3", folder / "bin" / "python")
    return next((place for place in places if place.is_file()), None)


def _folders(home: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError, UnicodeDecodeError):  # most people have no conda
        yield from (Path(line) for line in (home / CONDA_LIST).read_text(encoding="utf-8").splitlines() if line)
    for name in CONDA_FOLDERS:
        yield home / name
        yield from _inside(home / name / "envs")
    for name in VENV_FOLDERS:
        yield from _inside(home / name)


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []
