"""Installs what Slicer lacks for the worker, at first use and with the consent of the user."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import slicer

from MultiTaskSegLib.runtime.errors import Cancelled, ResourceError

TORCH_REQUIREMENT = ">=2.2"
REQUESTER = "MultiTaskSeg"


def requirements_path() -> Path:
    """The file that lists what Slicer lacks, in the Resources folder of the MultiTaskSeg module."""
    return Path(__file__).resolve().parent.parent.parent / "Resources" / "requirements.txt"


def ensure_packages() -> None:
    """Make torch and the packages of the requirements file available; asks before anything is installed.

    Does nothing when all is there, and never installs while Slicer runs its tests. Torch is not imported here.

    Raises:
        Cancelled: the user declined.
        ResourceError: the PyTorch extension is missing.
    """
    if slicer.app.testingEnabled():
        return
    if not is_installed("torch"):
        _install_torch()
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:  # before Slicer 5.12
        _ensure_with_pip(requirements_path())
        return
    try:
        packaging.pip_ensure(packaging.load_requirements(requirements_path()), requester=REQUESTER)
    except RuntimeError as error:
        raise Cancelled(f"the packages were not installed ({error})") from error


def is_installed(package: str) -> bool:
    """Whether a package has been installed, seen from its metadata only."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _install_torch() -> None:
    try:
        utilities = importlib.import_module("PyTorchUtils")
    except ImportError as error:
        raise ResourceError(
            "PyTorch is not installed",
            remedy="Install the PyTorch extension in the Extensions Manager, restart Slicer and try again",
        ) from error
    installed = utilities.PyTorchUtilsLogic().installTorch(
        askConfirmation=True, torchVersionRequirement=TORCH_REQUIREMENT
    )
    if installed is None:
        raise Cancelled("PyTorch was not installed")


def _ensure_with_pip(requirements: Path) -> None:
    from packaging.requirements import Requirement

    lines = [line.strip() for line in requirements.read_text(encoding="utf-8").splitlines()]
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    missing = [line for line in wanted if not is_installed(Requirement(line).name)]
    if not missing:
        return
    if not slicer.util.confirmOkCancelDisplay("\n".join(missing), f"{REQUESTER} - Install Python Packages"):
        raise Cancelled("the packages were not installed")
    slicer.util.pip_install(missing)
