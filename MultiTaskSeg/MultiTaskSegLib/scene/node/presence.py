"""Whether a volume is still in the scene."""

from __future__ import annotations

import slicer

from MultiTaskSegLib.runtime.errors import InputError


def require_present(node: slicer.vtkMRMLNode | None) -> None:
    """Refuse a volume that is not in the scene any more.

    Raises:
        InputError: it was removed.
    """
    if node is None or node.GetScene() is None:
        name = None if node is None else node.GetName()
        raise InputError("the volume was removed", file=name, remedy="Load it again")
