"""Installs what Slicer lacks for the worker, at first use and with consent; mends a half-installed torch."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import shutil
import sysconfig
import tempfile
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.installation.chosen_python import apply_choice, require_usable
from MultiTaskSegLib.installation.torch_probe import TorchProbe, TorchState, TorchTrial, is_installed, probe_torch
from MultiTaskSegLib.runtime.errors import Cancelled, ResourceError

TORCH_REQUIREMENT = ">=2.2"
REQUESTER = "MultiTaskSeg"
BYTES_PER_GB = 1e9
# The CPU build takes 0.8 GB when installed, and as much again while it is unpacked; builds for graphics cards bring
# their own libraries and take several times as much.
MIN_FREE_GB = 2.0
COMFORTABLE_FREE_GB = 10.0

_ready: TorchProbe | None = None
_trial: TorchTrial | None = None  # the first one, started before its outcome is wanted


def requirements_path() -> Path:
    """The file that lists what Slicer lacks, in the Resources folder of the MultiTaskSeg module."""
    return Path(__file__).resolve().parent.parent.parent / "Resources" / "requirements.txt"


def warm_up() -> None:
    """Start to try torch without waiting, so that the first run need not wait for it; for when a panel is opened.

    Nothing is started while Slicer runs its tests, nor where it is known already.
    """
    global _trial
    if apply_choice() is None and _ready is None and _trial is None and not slicer.app.testingEnabled():
        with contextlib.suppress(ResourceError):  # is told when torch is wanted
            _trial = TorchTrial()
            atexit.register(_trial.end)


def ensure_packages() -> None:
    """Make torch and the packages of the requirements file available; asks before anything is installed.

    Does nothing when all is there, and never installs while Slicer runs its tests. Torch is tried in a child process,
    once per session; a torch that cannot be loaded is installed again if the user agrees.

    Raises:
        Cancelled: the user declined.
        ResourceError: the PyTorch extension or disk space is missing, or torch cannot be installed or loaded.
    """
    if slicer.app.testingEnabled():
        return
    if apply_choice() is not None:
        require_usable()
        return
    if _ready is None:
        ensure_torch()
    ensure_requirements(requirements_path())


def ensure_requirements(path: Path) -> None:
    """Make the packages of a requirements file available; asks before anything is installed.

    Raises:
        Cancelled: the user declined.
        ResourceError: they cannot be installed.
    """
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:  # before Slicer 5.12
        _ensure_with_pip(path)
        return
    try:
        packaging.pip_ensure(packaging.load_requirements(path), requester=REQUESTER)
    except RuntimeError as error:
        raise Cancelled(f"the packages were not installed ({error})") from error
    except Exception as error:  # pip's own errors, of many kinds
        raise ResourceError(
            f"the packages cannot be installed ({error})", remedy="Check the network connection"
        ) from error


def ensure_torch() -> TorchProbe:
    """Make sure that torch can be loaded by the worker; asks before it is installed or repaired.

    Raises:
        Cancelled: the user declined.
        ResourceError: the PyTorch extension or disk space is missing, or torch cannot be installed or loaded.
    """
    global _ready, _trial
    if apply_choice() is not None:
        return TorchProbe(TorchState.READY, require_usable())
    trial, _trial = _trial, None
    found = TorchProbe(TorchState.MISSING) if trial is None else trial.outcome(_keep_painting)
    if found.state is not TorchState.READY:  # may have been mended since it was tried
        found = probe_torch(_keep_painting)
    if found.state is not TorchState.READY:
        if found.state is TorchState.BROKEN:
            _remove_broken_torch(found.detail)
        _install_torch()
        found = probe_torch(_keep_painting)
    if found.state is not TorchState.READY:
        raise ResourceError(
            f"PyTorch cannot be loaded ({found.detail or 'it is not there'})",
            remedy="Restart Slicer and repair the installation under Advanced, before anything else uses PyTorch",
        )
    _ready = found
    return found


def require_disk_space() -> None:
    """Ask before torch is installed on a disk that is nearly full; refuse where it cannot fit.

    Raises:
        Cancelled: the user declined.
        ResourceError: there is not enough space.
    """
    for folder in (sysconfig.get_paths()["purelib"], tempfile.gettempdir()):
        free_gb = shutil.disk_usage(folder).free / BYTES_PER_GB
        if free_gb < MIN_FREE_GB:
            raise ResourceError(
                f"only {free_gb:.1f} GB are free and PyTorch needs {MIN_FREE_GB:g} GB or more",
                file=folder,
                remedy="Free some space and try again",
            )
        if free_gb < COMFORTABLE_FREE_GB:
            question = _(
                "Only {free:.1f} GB are free in {folder}. That is enough for PyTorch on the processor, but perhaps not"
                " with the libraries for a graphics card. Install it all the same?"
            )
            if not slicer.util.confirmOkCancelDisplay(question.format(free=free_gb, folder=folder), REQUESTER):
                raise Cancelled("PyTorch was not installed")


def _remove_broken_torch(detail: str) -> None:
    question = _("PyTorch is installed but cannot be loaded:\n{detail}\n\nRemove it and install it again?")
    if not slicer.util.confirmOkCancelDisplay(question.format(detail=detail), REQUESTER):
        raise Cancelled(f"PyTorch was not repaired ({detail})")
    try:
        slicer.util.pip_uninstall("torch torchvision")
    except Exception as error:  # whatever pip or Slicer says: the user has to know it
        raise ResourceError(
            f"the broken PyTorch cannot be removed ({error})", remedy="Restart Slicer and try again"
        ) from error


def _install_torch() -> None:
    try:
        utilities = importlib.import_module("PyTorchUtils")
    except ImportError as error:
        raise ResourceError(
            "PyTorch is not installed",
            remedy="Install the PyTorch extension in the Extensions Manager, restart Slicer and try again",
        ) from error
    require_disk_space()
    try:
        installed = utilities.PyTorchUtilsLogic().installTorch(
            askConfirmation=True, torchVersionRequirement=TORCH_REQUIREMENT
        )
    except Exception as error:  # pip's and torch's own errors, of many kinds
        raise ResourceError(f"PyTorch cannot be installed ({error})", remedy="Restart Slicer and try again") from error
    if installed is None:
        raise Cancelled("PyTorch was not installed")


def _keep_painting() -> None:
    # Without the user's clicks: they would start a second run while this one is being prepared.
    slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)


def _ensure_with_pip(requirements: Path) -> None:
    from packaging.requirements import Requirement

    lines = [line.strip() for line in requirements.read_text(encoding="utf-8").splitlines()]
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    missing = [line for line in wanted if not is_installed(Requirement(line).name)]
    if not missing:
        return
    if not slicer.util.confirmOkCancelDisplay("\n".join(missing), f"{REQUESTER} - Install Python Packages"):
        raise Cancelled("the packages were not installed")
    try:
        slicer.util.pip_install(missing)
    except Exception as error:  # pip's own errors, of many kinds
        raise ResourceError(
            f"the packages cannot be installed ({error})", remedy="Check the network connection"
        ) from error
