"""Which Python packages the worker lacks, seen from their metadata only: for scripts, which nobody can ask."""

from __future__ import annotations

from MultiTaskSegLib.installation.torch_probe import is_installed
from MultiTaskSegLib.runtime.errors import ResourceError


def missing_packages() -> list[str]:
    """Names of the packages that have to be installed before anything can be segmented or checked."""
    from packaging.requirements import Requirement

    from MultiTaskSegLib.installation.installation import requirements_path

    lines = [line.strip() for line in requirements_path().read_text(encoding="utf-8").splitlines()]
    names = [Requirement(line).name for line in lines if line and not line.startswith(("#", "-"))]
    return [name for name in ("torch", *names) if not is_installed(name)]


def require_installed() -> None:
    """Refuse to start where packages are missing; a panel asks and installs them before.

    Raises:
        ResourceError: with their names and the ways to get them.
    """
    from MultiTaskSegLib.installation.chosen_python import apply_choice

    # Of another Python only a trial tells; the worker says what it lacks.
    missing = [] if apply_choice() is not None else missing_packages()
    if missing:
        raise ResourceError(
            f"Python packages are missing: {', '.join(missing)}",
            remedy="Open the module MultiTaskSeg and press Segment, which installs them after a question, or run"
            f" 'PythonSlicer -m pip install {' '.join(missing)}'",
        )
