"""The tick for a thorough check, which says beforehand how long it will take, with one image and with several."""

from __future__ import annotations

from collections.abc import Sequence
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
        looks, seconds = _looks_at(volume), _seconds_of(volume)
        if seconds is None:
            self._box.text = _("Thorough check, {times} times as long").format(times=1 + looks)
        else:
            text = _("Thorough check, about {seconds:.0f} s more")
            self._box.text = text.format(seconds=max(1.0, seconds * looks))


def batch_text(volumes: Sequence[Any], times: int = 1) -> str:
    """How much longer a batch takes with a thorough check.

    Args:
        volumes: its images; none where they are files, of which nothing is known before they are read.
        times: how many images each of them stands for, as a volume does that shows the frames of a sequence.
    """
    looks = [_looks_at(volume) for volume in volumes]
    seconds = [_seconds_of(volume) for volume in volumes]
    known = [own for own in seconds if own is not None]
    if volumes and len(known) == len(seconds):
        more = times * sum(own * count for own, count in zip(known, looks, strict=True))
        return _("With the thorough check, about {seconds:.0f} s more").format(seconds=max(1.0, more))
    fewest, most = 1 + min(looks, default=further_looks(False)), 1 + max(looks, default=further_looks(True))
    if fewest == most:
        return _("With the thorough check, {times} times as long").format(times=fewest)
    return _("With the thorough check, {fewest} to {most} times as long").format(fewest=fewest, most=most)


def _looks_at(volume: Any) -> int:
    """How many further looks a volume gets."""
    image = volume.GetImageData()
    return further_looks(is_planar=image is not None and 1 in image.GetDimensions())


def _seconds_of(volume: Any) -> float | None:
    """How long one look at a volume took last time; None where there was none."""
    for segmentation in reversed(results_of(volume)):
        text = segmentation.GetAttribute(f"{PREFIX}Seconds")
        if text is not None:
            return float(text)
    return None
