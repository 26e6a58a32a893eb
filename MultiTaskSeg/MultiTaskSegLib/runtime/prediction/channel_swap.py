"""Were the channels of an image given in the wrong order? With two swapped, known images are then nearer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.candidate import Candidate
from MultiTaskSegLib.runtime.prediction.recognition import recognise
from MultiTaskSegLib.runtime.prediction.stage_progress import StageProgress

# In units of the typical distance: known images seldom lie farther, and only what does is looked at once more.
FAR = 2.0
# So many times nearer must the image be with two channels swapped: either order may be a little nearer by accident.
CLEARLY = 1.5


def swap_warnings(candidates: Sequence[Candidate], volume: Volume, verdict: Verdict) -> tuple[str, ...]:
    """A sentence where an image of several channels is clearly nearer to known images with two channels swapped.

    Args:
        candidates: that the verdict was drawn among.
        volume: the image.
        verdict: on the image as it was given. Only one that lies far from known images is doubted, flagged or not: from
            few held-out images the limit lies high.

    Raises:
        ResourceError: memory runs out.
    """
    if volume.channel_count < 2 or verdict.score <= min(FAR, verdict.threshold):
        return ()
    best, least = None, verdict.score / CLEARLY
    for first, second in combinations(range(volume.channel_count), 2):
        try:
            found = recognise(candidates, swapped(volume, first, second), StageProgress(_untold)).verdict
        except InputError:
            continue
        if found.score < least:
            best, least = (first, second, found.nearest_task), found.score
    if best is None:
        return ()
    first, second, task = best
    names = next((c.tasks[0].inputs for c in candidates if task in (own.name for own in c.tasks)), ())
    return (
        f"with the {_called(names, first)} and {_called(names, second)} swapped the image is nearer to the images of "
        f"{task} ({least:.1f} instead of {verdict.score:.1f} times the typical distance): look whether the channels "
        "were given in the right order",
    )


def swapped(volume: Volume, first: int, second: int) -> Volume:
    """The same image with two of its channels, counted from 0, in each other's place."""
    channels = list(volume.channels)
    channels[first], channels[second] = channels[second], channels[first]
    return replace(volume, voxels=channels[0], further=tuple(channels[1:]))


def _called(names: Sequence[str], number: int) -> str:
    return f"channel {names[number]}" if number < len(names) else f"channel {number + 1}"


def _untold(share: float, step: str) -> None:
    """It is part of the last step."""
