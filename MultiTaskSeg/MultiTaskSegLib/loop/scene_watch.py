"""One watch over the results of the application's scene, with pauses told by Qt."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer

from MultiTaskSegLib.correction.segment_watch import SegmentWatch

PAUSE_MS = 500  # after a change; several strokes of a brush in a row are compared once

_watch: SegmentWatch | None = None
_scene: slicer.vtkMRMLScene | None = None


class Pause:
    """Calls a function when the user has had time to go on."""

    def __init__(self) -> None:
        self._functions: list[Callable[[], None]] = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.connect("timeout()", self._over)

    def __call__(self, function: Callable[[], None]) -> None:
        """Have it called once, after the pause."""
        self._functions.append(function)
        self._timer.start()

    def _over(self) -> None:
        functions, self._functions = self._functions, []
        for function in functions:
            function()


def shared_watch() -> SegmentWatch:
    """The watch; it begins when it is first asked for, mostly when Slicer has started."""
    global _watch, _scene
    if _watch is None or _scene is not slicer.mrmlScene:
        if _watch is not None:
            _watch.release()
        _scene = slicer.mrmlScene
        _watch = SegmentWatch(_scene, Pause())
    return _watch
