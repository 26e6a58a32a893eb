"""The tick for a thorough check, which says beforehand how long it will take."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from MultiTaskSegLib.runtime.quality.image_agreement import further_looks
from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.scene.earlier_result import results_of


class ThoroughChoice:
    """Keeps the text of the check box right."""

    def __init__(self, ui: Any) -> None:
        """Take over the widget."""
        self._box = ui.thoroughCheckBox

    def show(self, parameters: Any) -> None:
        """Say how long it takes with the volume that is chosen; nothing without parameters."""
        volume = None if parameters is None else parameters.inputVolume
        if volume is None:
            self._box.text = _("Thorough check")
            return
        image = volume.GetImageData()
        looks = further_looks(is_planar=image is not None and 1 in image.GetDimensions())
        seconds = _seconds_of(volume)
        if seconds is None:
            self._box.text = _("Thorough check, {times} times as long").format(times=1 + looks)
        else:
            text = _("Thorough check, about {seconds:.0f} s more")
            self._box.text = text.format(seconds=max(1.0, seconds * looks))


def _seconds_of(volume: Any) -> float | None:
    """How long one look at a volume took last time; None where there was none."""
    for segmentation in reversed(results_of(volume)):
        text = segmentation.GetAttribute(f"{PREFIX}Seconds")
        if text is not None:
            return float(text)
    return None
