"""Body region of a dataset, from its ``anatomy`` or the words of its name: which images may show the same things."""

from __future__ import annotations

import re

UNKNOWN = ""
WHOLE_BODY = "whole body"
REGION_WORDS: dict[str, tuple[str, ...]] = {
    "mouse": ("mouse", "mice", "murine", "rat", "rats", "rodent"),
    "fetus": ("fetal", "fetus", "foetal", "foetus"),
    "breast": ("breast", "mammary", "mammography"),
    "head": (
        "brain", "hippocampus", "head", "ms", "skull", "cranial", "intracranial", "cerebral", "stroke", "glioma",
        "pituitary", "jaw", "mandible", "maxilla", "teeth", "tooth", "dental", "face", "facial", "sinus", "ear",
    ),
    "eye": ("eye", "retina", "retinal", "fundus", "orbit"),
    "neck": ("neck", "thyroid", "larynx", "pharynx", "carotid"),
    "spine": ("spine", "spinal", "vertebra", "vertebrae", "lumbar"),
    "chest": (
        "chest", "lung", "lungs", "pulmonary", "heart", "cardiac", "atrium", "ventricle", "lv", "cine", "thorax",
        "thoracic", "echo", "aorta", "airway", "airways", "mediastinum", "coronary", "myocardium", "rib", "ribs",
    ),
    "abdomen": (
        "abdomen", "abdominal", "liver", "hepatic", "pancreas", "spleen", "kidney", "kidneys", "renal", "colon",
        "stomach", "gallbladder", "adrenal", "bowel", "duodenum",
    ),
    "pelvis": ("pelvis", "pelvic", "prostate", "bladder", "uterus", "rectum", "cervix", "ovary"),
    "limb": (
        "knee", "hip", "hand", "foot", "leg", "arm", "wrist", "shoulder", "ankle", "elbow", "thigh", "femur", "tibia",
        "calf",
    ),
    "skin": ("skin", "dermoscopy", "melanoma"),
    WHOLE_BODY: ("body", "torso", "trunk", "soft"),
}  # fmt: skip
# "Mouse brain" is no human head and "fetal head" no adult one: these come before everything else.
FIRST = ("mouse", "fetus")
# Regions whose images commonly show a part of the other one, too.
NEIGHBOURS = frozenset(
    frozenset(pair)
    for pair in (
        ("head", "eye"), ("head", "neck"), ("head", "spine"), ("neck", "spine"), ("neck", "chest"), ("chest", "spine"),
        ("chest", "breast"), ("chest", "abdomen"), ("chest", "limb"), ("abdomen", "spine"), ("abdomen", "pelvis"),
        ("pelvis", "spine"), ("pelvis", "limb"), ("skin", "limb"), ("skin", "breast"),
    )
)  # fmt: skip


def regions_in(text: str) -> tuple[str, ...]:
    """The regions that the words of a text name; of animals and fetuses that alone.

    >>> regions_in("brain"), regions_in("head and neck"), regions_in("mouse brain"), regions_in("chips")
    (('head',), ('head', 'neck'), ('mouse',), ())
    """
    words = set(re.split(r"[^a-z0-9]+", text.lower()))
    found = tuple(region for region, known in REGION_WORDS.items() if words & set(known))
    return next(((region,) for region in FIRST if region in found), found)


def infer_region(name: str, description: str = "") -> str:
    """Body region from the dataset's name, else from its description; empty when none or more than one is named.

    >>> infer_region("Dataset106_LVCineSunnybrook"), infer_region("Task09_Spleen"), infer_region("Dataset7_X")
    ('chest', 'abdomen', '')
    """
    for text in (_split_camel_case(name), description):
        found = regions_in(text)
        if found:
            return found[0] if len(found) == 1 else UNKNOWN
    return UNKNOWN


def may_overlap(first: str, second: str) -> bool:
    """Whether images of one text's regions may show structures of the other's; always, where a region is not known.

    >>> may_overlap("brain", "head"), may_overlap("liver", "heart"), may_overlap("brain", "liver"), may_overlap("", "x")
    (True, True, False, True)
    """
    here, there = regions_in(first), regions_in(second)
    if not here or not there:
        return True
    return any(_overlap(a, b) for a in here for b in there)


def _overlap(a: str, b: str) -> bool:
    if WHOLE_BODY in (a, b):
        return not {a, b} & set(FIRST)
    return a == b or frozenset((a, b)) in NEIGHBOURS


def _split_camel_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name.replace("_", " "))
