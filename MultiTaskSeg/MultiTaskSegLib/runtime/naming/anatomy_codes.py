"""SNOMED CT concepts that label names are matched with.

Every code is in the DICOM context groups for segmentation (CID 7150 ff., as listed by pydicom) or in the terminology
files of 3D Slicer and its extensions; the tests compare this table with pydicom's. Meanings are the short ones that
Slicer shows. A label that matches nothing here stays the generic "Anatomical Structure": better none than a wrong one.
"""

from __future__ import annotations

from typing import NamedTuple

RGB = tuple[int, int, int]


class Code(NamedTuple):
    """A coded concept.

    >>> Code("SCT", "10200004", "Liver").triplet
    'SCT^10200004^Liver'
    """

    scheme: str
    value: str
    meaning: str

    @property
    def triplet(self) -> str:
        """``scheme^value^meaning``, one part of Slicer's terminology string."""
        return "^".join(self)


class Concept(NamedTuple):
    """A code, the words of a label name that stand for it, and a colour where convention has one."""

    words: frozenset[str]
    code: Code
    colour: RGB | None


def _concepts(*rows: tuple[str, str, str, RGB | None]) -> tuple[Concept, ...]:
    return tuple(
        Concept(frozenset(words.split()), Code("SCT", value, meaning), colour) for words, value, meaning, colour in rows
    )


ANATOMICAL_STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")
TISSUE = Code("SCT", "85756007", "Tissue")
ALTERED_STRUCTURE = Code("SCT", "49755003", "Morphologically Altered Structure")

MODIFIERS = {
    "left": Code("SCT", "7771000", "Left"),
    "right": Code("SCT", "24028007", "Right"),
    "anterior": Code("SCT", "255549009", "Anterior"),
    "posterior": Code("SCT", "255551008", "Posterior"),
    "superior": Code("SCT", "264217000", "Superior"),
    "inferior": Code("SCT", "261089000", "Inferior"),
    "medial": Code("SCT", "255561001", "Medial"),
    "lateral": Code("SCT", "49370004", "Lateral"),
    "deep": Code("SCT", "795002", "Deep"),
}

TISSUES = _concepts(
    ("tissue", "85756007", "Tissue", None),
    ("fat", "55603005", "Fat", (230, 220, 70)),
    ("subcutaneous fat", "67769002", "Subcutaneous fatty tissue", (240, 200, 90)),
)

STRUCTURES = _concepts(
    ("brain", "12738006", "Brain", (235, 170, 160)),
    ("hippocampus", "5366008", "Hippocampus", (95, 175, 75)),
    ("amygdala", "4958002", "Amygdala", (190, 120, 200)),
    ("thalamus", "42695009", "Thalamus", (60, 170, 150)),
    ("caudate", "11000004", "Caudate nucleus", (120, 130, 220)),
    ("putamen", "89278009", "Putamen", (230, 90, 150)),
    ("pallidum", "14738005", "Globus pallidus", (40, 140, 190)),
    ("cerebellum", "113305005", "Cerebellum", (215, 160, 60)),
    ("corpus callosum", "88442005", "Corpus callosum", (100, 115, 165)),
    ("cortex cerebral", "40146001", "Cerebral cortex", (225, 135, 95)),
    ("csf", "65216001", "Cerebrospinal fluid", (70, 150, 230)),
    ("cerebrospinal fluid", "65216001", "Cerebrospinal fluid", (70, 150, 230)),
    ("gray matter", "389081007", "Gray matter", (225, 125, 85)),
    ("white matter", "389080008", "White matter", (245, 225, 130)),
    ("fourth ventricle", "35918002", "Fourth ventricle", (90, 105, 215)),
    ("third ventricle", "49841001", "Third ventricle", (120, 90, 215)),
    ("lateral ventricle", "66720007", "Lateral ventricle", (60, 130, 215)),
    ("spinal cord", "2748008", "Spinal cord", (245, 210, 90)),
    ("eyeball", "79652003", "Eyeball", None),
    ("optic nerve", "18234004", "Optic nerve", None),
    ("skull", "89546000", "Skull", (240, 220, 160)),
    ("mandible", "91609006", "Mandible", None),
    ("maxilla", "70925003", "Maxilla", None),
    ("parotid", "45289007", "Parotid gland", None),
    ("larynx", "4596009", "Larynx", None),
    ("pharynx", "54066008", "Pharynx", None),
    ("thyroid", "69748006", "Thyroid gland", None),
    ("heart", "80891009", "Heart", (205, 75, 65)),
    ("left ventricle", "87878005", "Left ventricle of heart", (215, 60, 60)),
    ("right ventricle", "53085002", "Right ventricle of heart", (65, 115, 215)),
    ("left atrium", "82471001", "Left atrium", (235, 130, 60)),
    ("right atrium", "73829009", "Right atrium", (80, 175, 205)),
    ("myocardium", "74281007", "Myocardium", (235, 190, 85)),
    ("myocardium left ventricle", "49848007", "Left ventricular myocardium", (235, 190, 85)),
    ("aorta", "15825003", "Aorta", (225, 95, 80)),
    ("pulmonary artery", "81040000", "Pulmonary artery", (50, 135, 205)),
    ("carotid common", "32062004", "Common carotid artery", None),
    ("inferior vena cava", "64131007", "Inferior vena cava", (40, 140, 205)),
    ("superior vena cava", "48345005", "Superior vena cava", (60, 160, 220)),
    ("lung", "39607008", "Lung", (110, 180, 225)),
    ("lower lobe lung", "90572001", "Lower lobe of lung", None),
    ("upper lobe lung", "45653009", "Upper lobe of lung", None),
    ("trachea", "44567001", "Trachea", (180, 230, 245)),
    ("esophagus", "32849002", "Esophagus", (210, 170, 140)),
    ("breast", "76752008", "Breast", (235, 170, 150)),
    ("liver", "10200004", "Liver", (220, 130, 100)),
    ("gallbladder", "28231008", "Gallbladder", (140, 150, 60)),
    ("gall bladder", "28231008", "Gallbladder", (140, 150, 60)),
    ("pancreas", "15776009", "Pancreas", (245, 185, 110)),
    ("spleen", "78961009", "Spleen", (160, 105, 165)),
    ("stomach", "69695003", "Stomach", (215, 130, 130)),
    ("duodenum", "38848004", "Duodenum", (250, 230, 160)),
    ("colon", "71854001", "Colon", (205, 165, 140)),
    ("rectum", "34402009", "Rectum", None),
    ("kidney", "64033007", "Kidney", (185, 100, 85)),
    ("adrenal", "23451007", "Adrenal gland", (245, 185, 150)),
    ("bladder", "89837001", "Urinary bladder", (220, 155, 30)),
    ("prostate", "41216001", "Prostate", (230, 160, 130)),
    ("uterus", "35039007", "Uterus", (255, 180, 165)),
    ("placenta", "78067005", "Placenta", None),
    ("vertebra", "51282000", "Vertebra", (240, 230, 170)),
    ("rib", "113197003", "Rib", (250, 230, 160)),
    ("sternum", "56873002", "Sternum", None),
    ("clavicle", "51299004", "Clavicle", None),
    ("scapula", "79601000", "Scapula", None),
    ("humerus", "85050009", "Humerus", None),
    ("sacrum", "54735007", "Sacrum", None),
    ("hip", "29836001", "Hip", None),
    ("femur", "71341001", "Femur", None),
    ("patella", "64234005", "Patella", None),
    ("tibia", "12611008", "Tibia", None),
    ("skin", "39937001", "Skin", None),
    # Body regions last: an organ that is named as well is the better answer.
    ("head", "69536005", "Head", (200, 140, 110)),
    ("chest", "51185008", "Chest", None),
    ("abdomen", "113345001", "Abdomen", None),
)

FINDINGS = _concepts(
    ("lesion", "52988006", "Lesion", (240, 70, 60)),
    ("tumor", "108369006", "Tumor", (150, 205, 70)),
    ("mass", "4147007", "Mass", (150, 205, 70)),
    ("nodule", "27925004", "Nodule", (170, 215, 90)),
    ("cyst", "367643001", "Cyst", (205, 205, 100)),
    ("edema", "79654002", "Edema", (140, 225, 230)),
    ("necrosis", "6574001", "Necrosis", (215, 190, 215)),
    ("hemorrhage", "50960005", "Hemorrhage", (190, 30, 45)),
)

# Chambers whose names a brain's ventricles share: not meant where the images show a brain.
HEART_CHAMBERS = frozenset({"87878005", "53085002"})

# Head, chest, abdomen: where something is, never the thing that a label names by its side alone.
BODY_REGIONS = frozenset({"69536005", "51185008", "113345001"})

# Words of a label that do not change which structure is meant.
FILLERS = frozenset({"of", "the", "and", "human", "mouse", "fetal", "structure", "whole", "gland", "organ", "urinary"})

# Spellings that name the same thing; plurals in -s are handled by the reader of the words.
SYNONYMS = {
    "grey": "gray",
    "haemorrhage": "hemorrhage",
    "oedema": "edema",
    "tumour": "tumor",
    "neoplasm": "tumor",
    "hippocampal": "hippocampus",
    "cardiac": "heart",
    "hepatic": "liver",
    "renal": "kidney",
    "thorax": "chest",
    "oesophagus": "esophagus",
    "myocardial": "myocardium",
    "vertebrae": "vertebra",
    "metastases": "tumor",
    "lv": "left ventricle",
    "rv": "right ventricle",
    "la": "left atrium",
    "ra": "right atrium",
    "gm": "gray matter",
    "wm": "white matter",
    "l": "left",
    "r": "right",
}
