"""The answer to "is this result good?": one rule, from the estimated Dice and its bound alone.

What the out-of-distribution check says of the image does not enter here: a foreign image may be segmented well, and a
known one badly. Both are told, side by side, but for one thing: a report calls no foreign image's result good.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

Usability = Literal["good", "look here", "do not use"]
GOOD: Usability = "good"
LOOK_HERE: Usability = "look here"
DO_NOT_USE: Usability = "do not use"
USABILITIES = (GOOD, LOOK_HERE, DO_NOT_USE)

ENOUGH = 0.75
"""A mean Dice below this is a failure (Zenk et al., Medical Image Analysis 101, 2025)."""
TOO_LITTLE = 0.5
"""Below this Dice more of a segment and its structure is expected to be wrong than right."""
ASSUMED_MARGIN = 0.1
"""By how much an estimate is taken to be wrong where too few labelled images were there to measure it."""


def usability(estimates: Collection[float | None], margin: float | None) -> Usability:
    """The answer for an image.

    - *do not use*: nothing was found, or the mean Dice to expect is below `TOO_LITTLE`;
    - *good*: every wanted structure was found, and the mean Dice to expect is at least `ENOUGH` even when it is less
      the margin;
    - *look here*: everything between.

    Args:
        estimates: Dice to expect of every wanted structure; None of those that were not found.
        margin: see `MultiTaskSegLib.runtime.quality.quality_info.TaskQuality`; None: `ASSUMED_MARGIN`.

    >>> usability([0.95, 0.85], 0.1), usability([0.95, None], 0.1), usability([0.4], None), usability([None], 0.1)
    ('good', 'look here', 'do not use', 'do not use')
    """
    found = [value for value in estimates if value is not None]
    mean = sum(found) / len(found) if found else 0.0
    if mean < TOO_LITTLE:
        return DO_NOT_USE
    is_enough = mean - (ASSUMED_MARGIN if margin is None else margin) >= ENOUGH
    return GOOD if is_enough and len(found) == len(estimates) else LOOK_HERE
