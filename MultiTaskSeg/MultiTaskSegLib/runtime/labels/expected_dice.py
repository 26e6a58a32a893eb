"""The Dice coefficient to expect of a segment whose truth nobody knows, from calibrated probabilities."""

from __future__ import annotations


def expected_dice(overlap: float, probability: float, voxels: int) -> float | None:
    """Expected soft Dice of a segment: ``2 sum(p m) / (sum(p) + sum(m))``.

    With calibrated probabilities p of the label and the mask m of the segment, ``sum(p m)`` voxels of the segment are
    expected to be right and ``sum(p)`` voxels to belong to the true structure. The ratio of these expectations is the
    expected Dice coefficient up to the fluctuation of the true structure's size.

    Args:
        overlap: ``sum(p m)``, the label's probability added up over the segment.
        probability: ``sum(p)``, the label's probability added up over the whole image.
        voxels: ``sum(m)``, the segment's size.

    Returns:
        0 to 1; None for an empty segment, about which there is nothing to say: the Dice coefficient is then 0 or not
        defined, depending on whether the structure exists.

    >>> expected_dice(1.5, 2.5, 2)
    0.6666666666666666
    """
    if voxels == 0:
        return None
    return min(1.0, max(0.0, 2.0 * overlap / (probability + voxels)))
