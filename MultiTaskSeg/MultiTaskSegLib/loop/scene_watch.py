"""One watch over the results of the application's scene, with pauses told by Qt."""

from __future__ import annotations

import qt
import slicer

from MultiTaskSegLib.correction.segment_watch import SegmentWatch

PAUSE_MS = 500  # after a change; several strokes of a brush in a row are compared once

_watch: SegmentWatch | None = None
_scene: slicer.vtkMRMLScene | None = None


def shared_watch() -> SegmentWatch:
    """The watch; it begins when it is first asked for, mostly when Slicer has started."""
    global _watch, _scene
    if _watch is None or _scene is not slicer.mrmlScene:
        if _watch is not None:
            _watch.release()
        _scene = slicer.mrmlScene
        _watch = SegmentWatch(_scene, lambda update: qt.QTimer.singleShot(PAUSE_MS, update))
    return _watch
