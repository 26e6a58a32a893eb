"""The part of the panel that says before the run what is wrong with a volume, and offers to put it right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.panel.preflight import FILL, GREY, HARDEN, Finding
from MultiTaskSegLib.panel.summary import findings_text
from MultiTaskSegLib.scene.mended_copy import finite_copy, grey_copy, hardened_copy

FIXES = {HARDEN: hardened_copy, FILL: finite_copy, GREY: grey_copy}


class PreflightView:
    """Shows the findings on a volume in a label, with one button for the first one that can be mended."""

    def __init__(self, label: Any, button: Any, mended: Callable[[Any], object]) -> None:
        """Take over the widgets; ``mended`` is called with the copy of the volume in which something was put right."""
        self._label, self._button, self._mended = label, button, mended
        self._volume_node: Any = None
        self._fix = ""
        button.connect("clicked(bool)", self._on_button)
        self._known: tuple[tuple[Any, ...], list[Finding]] = ((), [])
        self._show([])

    def update(self, volumes: Any, task: str, model: str, inspect: Callable[[Any, str, str], list[Finding]]) -> bool:
        """Show what there is to say about a volume, or a list of channels, or nothing for None; whether it can be
        segmented.

        ``inspect`` is asked only when a volume or a choice has changed: it looks at every voxel.
        """
        nodes = volumes if isinstance(volumes, list) else [volumes]
        state = (task, model, *map(_state_of, nodes))
        if state != self._known[0]:
            self._known = (state, [] if nodes[0] is None else inspect(volumes, task, model))
            self._volume_node = nodes[0]
            self._show(self._known[1])
        return nodes[0] is not None and not any(finding.is_refusal for finding in self._known[1])

    def _show(self, findings: Sequence[Finding]) -> None:
        """Nothing takes no room."""
        self._fix = next((finding.fix for finding in findings if finding.fix), "")
        self._label.text = findings_text(findings)
        self._label.visible = bool(findings)
        self._button.visible = bool(self._fix)
        self._button.text = {
            HARDEN: _("Make a copy with the transform applied"),
            FILL: _("Make a copy without these voxels"),
            GREY: _("Make a grey copy"),
            "": "",
        }[self._fix]

    def _on_button(self, _checked: bool = False) -> None:
        with slicer.util.tryWithErrorDisplay(_("The copy could not be made."), waitCursor=True):
            self._mended(FIXES[self._fix](self._volume_node))


def _state_of(volume_node: Any) -> tuple[Any, ...]:
    """What changes when a volume, its voxels or its transform change."""
    if volume_node is None:
        return ()
    voxels, transform = volume_node.GetImageData(), volume_node.GetParentTransformNode()
    return (
        volume_node,
        volume_node.GetMTime(),
        0 if voxels is None else voxels.GetMTime(),
        # Not its own time, which neither its matrix nor the transforms above it touch.
        0 if transform is None else transform.GetTransformToWorldMTime(),
    )
