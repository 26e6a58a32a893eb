"""Modality family and body region of a dataset, inferred from the words of its name and description."""

from __future__ import annotations

import re

# The order matters: "mouse brain" is not a human head, a "fetal head" is not an adult one.
REGION_WORDS: dict[str, tuple[str, ...]] = {
    "mouse": ("mouse", "mice", "murine", "rat"),
    "fetus": ("fetal", "fetus", "foetal"),
    "breast": ("breast", "mammary"),
    "head": ("brain", "hippocampus", "head", "ms", "skull", "cranial", "intracranial"),
    "chest": ("chest", "lung", "lungs", "heart", "cardiac", "atrium", "ventricle", "lv", "cine", "thorax", "echo"),
    "abdomen": ("abdomen", "abdominal", "liver", "pancreas", "spleen", "kidney", "colon"),
    "pelvis": ("pelvis", "prostate", "bladder", "uterus"),
    "limb": ("knee", "hip", "hand", "foot", "leg", "arm", "wrist", "shoulder"),
}

FAMILY_WORDS: dict[str, tuple[str, ...]] = {
    "CT": ("ct", "cbct"),
    "X-ray": ("x-ray", "xray", "radiograph", "cr", "dx"),
    "ultrasound": ("ultrasound", "us", "echo"),
    "PET": ("pet",),
    "MR": ("mr", "mri", "t1", "t2", "flair", "pd", "dwi", "adc", "cine", "lge", "fa", "t1w", "t2w", "t1c", "t2f"),
}


def modality_family(modality: str) -> str:
    """The family of a modality name; the name itself, lower case, when no word is known.

    >>> modality_family("cine-MRI"), modality_family("X-ray"), modality_family("OCT")
    ('MR', 'X-ray', 'oct')
    """
    lower = modality.lower()
    words = {lower, *re.split(r"[^a-z0-9]+", lower)}
    return next((family for family, known in FAMILY_WORDS.items() if words & set(known)), lower)


def infer_region(name: str, description: str = "") -> str:
    """Body region from the dataset's name, else from its description; empty when no word is known.

    >>> infer_region("Dataset106_LVCineSunnybrook"), infer_region("Task09_Spleen"), infer_region("Dataset7_X")
    ('chest', 'abdomen', '')
    """
    for text in (_split_camel_case(name), description):
        words = set(re.split(r"[^a-z0-9]+", text.lower()))
        for region, known in REGION_WORDS.items():
            if words & set(known):
                return region
    return ""


def _split_camel_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name.replace("_", " "))
