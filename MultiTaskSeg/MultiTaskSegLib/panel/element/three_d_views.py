"""Turns the cameras of the 3-D views to what is in them."""

from __future__ import annotations

import slicer


def reset_cameras() -> None:
    """Bring all surfaces into all 3-D views; nothing without a main window."""
    layout_manager = slicer.app.layoutManager()
    if layout_manager is None:
        return
    for index in range(layout_manager.threeDViewCount):
        view = layout_manager.threeDWidget(index).threeDView()
        view.resetFocalPoint()
        view.resetCamera()
