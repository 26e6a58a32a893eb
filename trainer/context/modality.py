"""Family of a modality: which images can show the same structures alike. A checked vocabulary, no guessing."""

from __future__ import annotations

import re

UNKNOWN = ""
# Two words that together mean something else than one of them: "gradient echo" is no ultrasound.
PHRASES: dict[str, tuple[str, ...]] = {
    "MR": ("gradient echo", "spin echo", "multi echo", "echo planar", "magnetic resonance", "time of flight"),
    "CT": ("cone beam", "computed tomography"),
    "X-ray": ("x ray", "x rays"),
    "ultrasound": ("b mode",),
    "OCT": ("optical coherence",),
    "PET": ("positron emission",),
    "photograph": ("colour fundus", "color fundus"),
}
WORDS: dict[str, tuple[str, ...]] = {
    "CT": (
        "ct", "cbct", "cta", "ncct", "nect", "cect", "ldct", "hrct", "mdct", "ctp", "ctpa", "hu", "hounsfield",
    ),
    "MR": (
        "mr", "mri", "mrt", "mra", "smri", "fmri", "cmr", "t1", "t1w", "t1c", "t1ce", "t1gd", "t1n", "t1post", "t1km",
        "t2", "t2w", "t2f", "t2star", "flair", "pd", "pdw", "dwi", "adc", "dti", "fa", "md", "swi", "gre", "spgr",
        "mprage", "bravo", "space", "cube", "bssfp", "ssfp", "fiesta", "trufi", "cine", "lge", "tof", "dce", "dsc",
        "dixon", "stir", "haste", "tse", "fse", "epi", "bold", "mrcp", "fgatir", "tirm",
    ),
    "X-ray": ("xray", "xrays", "radiograph", "radiography", "cxr", "cr", "dx", "dr", "dxr", "mammography", "mammogram",
              "mg", "fluoroscopy", "dsa", "dexa", "dxa"),
    "ultrasound": ("ultrasound", "us", "echo", "echocardiography", "echocardiogram", "sonography", "sonogram", "tte",
                   "tee", "ivus", "doppler", "abus"),
    "PET": ("pet", "fdg", "suv", "psma"),
    "SPECT": ("spect", "scintigraphy", "nm"),
    "OCT": ("oct", "octa"),
    "microscopy": ("microscopy", "histology", "histopathology", "pathology", "fluorescence", "em", "wsi"),
    "photograph": ("photograph", "photo", "picture", "fundus", "cfp", "endoscopy", "colonoscopy", "dermoscopy",
                   "laparoscopy", "rgb", "red", "green", "blue", "grey", "gray", "colour", "color"),
}  # fmt: skip
FAMILIES = tuple(WORDS)


def families_in(modality: str) -> tuple[str, ...]:
    """The families that the words of a modality name, in the order of `FAMILIES`; words that are not known are skipped.

    >>> families_in("gradient echo MRI"), families_in("NCCT"), families_in("PET/CT"), families_in("zscore")
    (('MR',), ('CT',), ('CT', 'PET'), ())
    """
    text = " ".join(re.findall(r"[a-z0-9]+", modality.lower().replace("*", "star")))
    found = set()
    for family, phrases in PHRASES.items():
        for phrase in phrases:
            shortened = re.sub(rf"\b{phrase}\b", " ", text)
            if shortened != text:
                found.add(family)
                text = shortened
    found |= {family for family, known in WORDS.items() if set(text.split()) & set(known)}
    return tuple(family for family in FAMILIES if family in found)
