"""What a training needs besides the extension: found, or asked for, before anything is started."""

from __future__ import annotations

from pathlib import Path

import slicer

from MultiTaskSegLib.installation.installation import ensure_packages, ensure_requirements, requirements_path
from MultiTaskSegLib.learning.trainer_python import TrainerPython, find_trainer
from MultiTaskSegLib.runtime.errors import ResourceError

NO_TRAINER = (
    "the trainer is not part of the extension",
    "Get the source code of MultiTaskSeg and choose its folder as Python, or choose a Python in which it was installed"
    " with 'pip install \".[trainer]\"' in that folder",
)


def trainer_requirements_path() -> Path:
    """The file that lists what the trainer needs and Slicer lacks."""
    return requirements_path().with_name("trainer_requirements.txt")


def ensure_trainer(chosen: str = "") -> TrainerPython:
    """A Python that can train; asks before packages are installed, which is done in Slicer's own only.

    Args:
        chosen: as of `find_trainer`.

    Raises:
        Cancelled: the user declined.
        ResourceError: there is no trainer, or packages are missing and cannot be installed.
    """
    python = find_trainer(chosen)
    if "trainer" in python.missing:
        raise ResourceError(NO_TRAINER[0], file=python.executable, remedy=NO_TRAINER[1])
    if python.is_ready:
        return python
    if python.is_own and not slicer.app.testingEnabled():
        ensure_packages()
        ensure_requirements(trainer_requirements_path())
        python = find_trainer(chosen)
    return require_trainer(python)


def require_trainer(python: TrainerPython) -> TrainerPython:
    """Refuse a Python that cannot train, where nobody can be asked.

    Raises:
        ResourceError: with what it lacks, and how to get that.
    """
    if "trainer" in python.missing:
        raise ResourceError(NO_TRAINER[0], file=python.executable, remedy=NO_TRAINER[1])
    if not python.is_ready:
        raise ResourceError(
            f"packages are missing in this Python: {', '.join(python.missing)}",
            file=python.executable,
            remedy="Install them there: pip install matplotlib pyyaml scikit-learn torch safetensors SimpleITK",
        )
    return python
