"""Name, colour and SNOMED CT terminology of a label, from nothing but its name and what its dataset shows.

``left_kidney`` becomes "left kidney", the kidney's usual colour a shade lighter, and the seven-part string with which
3D Slicer stores the terminology of a segment (category, type, type modifier, anatomic region, region modifier).
"""

from __future__ import annotations

import colorsys
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.naming.anatomy_codes import (
    ALTERED_STRUCTURE,
    ANATOMICAL_STRUCTURE,
    BODY_REGIONS,
    FILLERS,
    FINDINGS,
    HEART_CHAMBERS,
    MODIFIERS,
    RGB,
    STRUCTURES,
    SYNONYMS,
    TISSUE,
    TISSUES,
    Code,
    Concept,
)

TYPE_CONTEXT = "Segmentation category and type - DICOM master list"
REGION_CONTEXT = "Anatomic codes - DICOM master list"
CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
TRIPLET = re.compile(r"[^\^~]*\^[^\^~]*\^[^\^~]*")
OVERRIDE_KEYS = ("category", "type", "modifier", "region", "region_modifier")
GOLDEN_RATIO_CONJUGATE = 0.618033988749895

# (change of hue, change of lightness): the two sides of one structure stay related and can still be told apart.
MODIFIER_SHADES = {
    "left": (0.03, 0.09),
    "right": (-0.03, -0.09),
    "anterior": (-0.14, 0.06),
    "posterior": (0.14, 0.06),
    "superior": (0.08, 0.08),
    "inferior": (-0.08, -0.06),
    "medial": (0.06, -0.08),
    "lateral": (-0.06, 0.08),
    "deep": (0.75, 0.0),
}


class LabelTerminology(NamedTuple):
    """How a label is shown: its display name, its colour (0-255) and Slicer's terminology string."""

    display_name: str
    colour: RGB
    terminology: str


def label_terminology(
    dataset_name: str,
    modality: str,
    anatomy: str,
    label_name: str,
    override: str | Mapping[str, str] | None = None,
) -> LabelTerminology:
    """Look up one label.

    Args:
        dataset_name: its words tell what the images show as well ("Dataset101_HippocampusT1").
        modality: not used for the codes; kept so that a caller hands over the whole context of the label.
        anatomy: what the images show ("mouse brain", "head"). From this and the name of the dataset come the region of
            a lesion and, where a label only says which part ("anterior"), the structure itself.
        label_name: the name in ``dataset.json``.
        override: the label's entry under ``"terminology"`` in ``dataset.json``: a complete seven-part string, or an
            object with some of ``category``, ``type``, ``modifier``, ``region``, ``region_modifier`` as
            ``scheme^value^meaning``.

    Raises:
        DatasetError: the override is not of that form.

    >>> label_terminology("Dataset106", "cine MRI", "heart", "left_ventricle").display_name
    'left ventricle'
    """
    words, place_words = _words(label_name), _words(f"{dataset_name} {anatomy}")
    parts = _parts(words, place_words)
    display_name = " ".join(label_name.replace("_", " ").split())
    colour = _colour(words, _concept(words, place_words), display_name)
    if override is None:
        return LabelTerminology(display_name, colour, _serialise(parts))
    return LabelTerminology(display_name, colour, _overridden(parts, override, f"{dataset_name}, label {label_name}"))


def _words(text: str) -> list[str]:
    """Lower-case words and numbers in order, spellings unified.

    >>> _words("LV_Myocardium-lesions 2")
    ['left', 'ventricle', 'myocardium', 'lesion', '2']
    """
    words: list[str] = []
    for word in re.findall(r"[a-z0-9]+", CAMEL_CASE.sub(" ", text).lower()):
        known = SYNONYMS.get(word)
        singular = word[:-1] if known is None and word.endswith("s") and word[:-1] in VOCABULARY else word
        words += (known or singular).split()
    return words


VOCABULARY = frozenset(word for concept in (*TISSUES, *STRUCTURES, *FINDINGS) for word in concept.words)


def _best(concepts: Iterable[Concept], words: Iterable[str]) -> Concept | None:
    """The concept with the most words, all of them among ``words``; none if no concept fits."""
    present = frozenset(words)
    fitting = [concept for concept in concepts if concept.words <= present]
    return max(fitting, key=lambda concept: len(concept.words), default=None)


def _structure(words: list[str], anatomy: list[str]) -> Concept | None:
    in_brain = "brain" in anatomy
    allowed = [concept for concept in STRUCTURES if not (in_brain and concept.code.value in HEART_CHAMBERS)]
    return _best(allowed, words)


def _modifier(words: Iterable[str], used: Concept | None) -> str | None:
    """The first modifier among ``words`` that is not already part of the concept's own name."""
    taken = used.words if used else frozenset()
    return next((word for word in words if word in MODIFIERS and word not in taken), None)


def _is_whole(words: Iterable[str], concept: Concept) -> bool:
    """Whether the words say nothing beyond the concept: "left lung" does not, "lung vessel" does."""
    return all(word in concept.words or word in MODIFIERS or word in FILLERS for word in words)


def _concept(words: list[str], anatomy: list[str]) -> Concept | None:
    """What a label is: a finding, a whole structure, a tissue, or the anatomy itself where the label is only a part."""
    finding, structure, place = _best(FINDINGS, words), _structure(words, anatomy), _best(STRUCTURES, anatomy)
    if finding:
        return finding
    for candidate in (structure, _best(TISSUES, words)):
        if candidate and _is_whole(words, candidate):
            return candidate
    only_modifiers = bool(words) and all(word in MODIFIERS for word in words)
    return place if only_modifiers and place and place.code.value not in BODY_REGIONS else None


def _parts(words: list[str], anatomy: list[str]) -> dict[str, str]:
    """Triplets by the names of ``OVERRIDE_KEYS``."""
    concept, structure, place = _concept(words, anatomy), _structure(words, anatomy), _best(STRUCTURES, anatomy)
    region = structure or place
    if concept in FINDINGS and concept:
        side = _modifier(words, structure) if structure else _modifier(anatomy, place)
        return _triplets(ALTERED_STRUCTURE, concept.code, None, region, side)
    if concept in TISSUES and concept:
        return _triplets(TISSUE, concept.code, _modifier(words, concept), region, None)
    if concept:
        return _triplets(ANATOMICAL_STRUCTURE, concept.code, _modifier(words, concept), None, None)
    return _triplets(ANATOMICAL_STRUCTURE, ANATOMICAL_STRUCTURE, _modifier(words, structure), region, None)


def _triplets(
    category: Code, kind: Code, modifier: str | None, region: Concept | None, region_modifier: str | None
) -> dict[str, str]:
    codes = (
        category,
        kind,
        MODIFIERS[modifier] if modifier else None,
        region.code if region else None,
        MODIFIERS[region_modifier] if region and region_modifier else None,
    )
    return {key: code.triplet if code else "^^" for key, code in zip(OVERRIDE_KEYS, codes, strict=True)}


def _serialise(parts: Mapping[str, str]) -> str:
    """Seven parts joined by ``~``, as ``vtkSlicerTerminologiesModuleLogic::SerializeTerminologyEntry`` writes them."""
    ordered = [parts[key] for key in OVERRIDE_KEYS]
    return "~".join([TYPE_CONTEXT, *ordered[:3], REGION_CONTEXT, *ordered[3:]])


def _overridden(parts: dict[str, str], override: str | Mapping[str, str], where: str) -> str:
    remedy = "Give 'context~category~type~modifier~context~region~modifier', or an object of scheme^value^meaning"
    if isinstance(override, str):
        pieces = override.split("~")
        if len(pieces) != 7 or not all(TRIPLET.fullmatch(pieces[index]) for index in (1, 2, 3, 5, 6)):
            raise DatasetError(f"terminology {override!r} does not have seven parts", file=where, remedy=remedy)
        return override
    for key, triplet in override.items():
        if key not in OVERRIDE_KEYS or not isinstance(triplet, str) or not TRIPLET.fullmatch(triplet):
            raise DatasetError(f"terminology entry {key!r}: {triplet!r} is not valid", file=where, remedy=remedy)
    return _serialise({**parts, **override})


def _colour(words: list[str], concept: Concept | None, display_name: str) -> RGB:
    """The conventional colour of the structure or finding, shaded by its modifier; else a stable one of its own."""
    if concept is None or concept.colour is None:
        return _palette(display_name)
    shade = _modifier(words, concept)
    if shade is None:
        return concept.colour
    turn, lift = MODIFIER_SHADES[shade]
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in concept.colour))
    return _rgb(hue + turn, min(max(lightness + lift, 0.25), 0.85), saturation)


def _palette(display_name: str) -> RGB:
    """A colour from a sequence that never repeats: golden-ratio steps in hue, three by two steps of light and chroma.

    Numbered labels walk through the sequence, so neighbours differ most; others enter it at a hash of their name.
    """
    number = re.search(r"\d+$", display_name)
    index = int(number.group()) if number else zlib.crc32(display_name.lower().encode())
    return _rgb(index * GOLDEN_RATIO_CONJUGATE, (0.45, 0.60, 0.74)[index % 3], (0.85, 0.55)[index // 3 % 2])


def _rgb(hue: float, lightness: float, saturation: float) -> RGB:
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)
