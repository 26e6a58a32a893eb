"""What the values of a head's label map are, by FreeSurfer's numbers: of which tissue, and of which side.

Numbers below 500 are those of FreeSurfer's colour table; those above are the classes outside the brain of the label
maps that SynthSeg was trained on (Billot et al., Medical Image Analysis 2023), named as in SimNIBS' head atlas.
"""

from __future__ import annotations

AIR = "air"

TISSUE_OF: dict[str, tuple[int, ...]] = {
    AIR: (0,),
    "white matter": (2, 7, 41, 46),
    "cortex": (3, 8, 42, 47, 17, 53, 18, 54),
    "deep grey matter": (10, 11, 12, 13, 26, 28, 49, 50, 51, 52, 58, 60, 136, 137, 163, 164),
    "brain stem": (16, 85, 512, 530),
    "csf": (4, 5, 14, 15, 24, 43, 44, 72),
    "lesion": (25, 57),
    "vessel": (30, 62, 502, 514),
    "eye": (506,),
    "muscle": (507, 508),
    "mucosa": (509,),
    "skin and fat": (511,),
    "bone": (515,),
    "marrow": (516,),
}
"""By tissue, what shows about alike in every contrast; within it each structure differs a little from the others."""

TISSUE = {number: tissue for tissue, numbers in TISSUE_OF.items() for number in numbers}

OTHER_SIDE = {
    2: 41, 3: 42, 4: 43, 5: 44, 7: 46, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52, 17: 53, 18: 54, 25: 57, 26: 58, 28: 60,
    30: 62, 136: 163, 137: 164,
}  # fmt: skip
"""From structures on the left to those on the right."""

FIRST_OUTSIDE = 500
CSF_AROUND = 24


def is_brain(number: int) -> bool:
    """Whether a value is a part of the brain or its ventricles; the fluid around it is none."""
    return 0 < number < FIRST_OUTSIDE and number != CSF_AROUND


def structure(number: int) -> int:
    """The number of the structure without its side: both sides look alike.

    >>> structure(41), structure(2), structure(16)
    (2, 2, 16)
    """
    return _LEFT_OF.get(number, number)


_LEFT_OF = {right: left for left, right in OTHER_SIDE.items()}
