"""Label names become names, colours and SNOMED CT codes that Slicer and DICOM understand."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.naming.anatomy_codes import (
    ALTERED_STRUCTURE,
    FINDINGS,
    MODIFIERS,
    STRUCTURES,
    SYNONYMS,
    TISSUE,
    TISSUES,
)
from MultiTaskSegLib.runtime.naming.terminology import OVERRIDE_KEYS, VOCABULARY, label_terminology

# In the terminology files of 3D Slicer or of its TotalSegmentator extension, but not in the DICOM groups of pydicom.
NOT_IN_PYDICOM = {"74281007": "Myocardium", "67769002": "Subcutaneous fatty tissue"}
MOUSE_STRUCTURES = [f"structure_{number:02d}" for number in range(1, 41) if number not in (22, 30, 37)]


def parts(label_name: str, anatomy: str = "") -> dict[str, str]:
    """The five triplets of a label's terminology by name."""
    pieces = label_terminology("Dataset001_Test", "", anatomy, label_name).terminology.split("~")
    assert len(pieces) == 7
    return dict(zip(OVERRIDE_KEYS, [*pieces[1:4], *pieces[5:]], strict=True))


def lightness_and_chroma(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    """CIE L*a*b* (D65) of an sRGB colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    matrix = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
    white = (0.95047, 1.0, 1.08883)
    x, y, z = (sum(m * v for m, v in zip(row, linear, strict=True)) / w for row, w in zip(matrix, white, strict=True))
    f = [t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z)]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


def colour_distance(first: tuple[int, int, int], second: tuple[int, int, int]) -> float:
    """CIE 1976 colour difference."""
    pairs = zip(lightness_and_chroma(first), lightness_and_chroma(second), strict=True)
    return float(sum((a - b) ** 2 for a, b in pairs) ** 0.5)


def test_the_display_name_is_the_labels_own_name_with_spaces():
    assert label_terminology("Dataset106_LV", "cine MRI", "heart", "left_ventricle").display_name == "left ventricle"
    assert label_terminology("Dataset105_Mouse", "T2", "brain", "structure_07").display_name == "structure 07"


@pytest.mark.parametrize(
    ("label_name", "anatomy", "kind", "modifier"),
    [
        ("left_ventricle", "heart", "SCT^87878005^Left ventricle of heart", "^^"),
        ("right_ventricle", "heart", "SCT^53085002^Right ventricle of heart", "^^"),
        ("left_atrium", "heart", "SCT^82471001^Left atrium", "^^"),
        ("anterior", "hippocampus", "SCT^5366008^Hippocampus", "SCT^255549009^Anterior"),
        ("posterior", "hippocampus", "SCT^5366008^Hippocampus", "SCT^255551008^Posterior"),
        ("right_lung", "chest", "SCT^39607008^Lung", "SCT^24028007^Right"),
        ("left_lung", "chest", "SCT^39607008^Lung", "SCT^7771000^Left"),
        ("LeftKidney", "", "SCT^64033007^Kidney", "SCT^7771000^Left"),
        ("kidneys", "", "SCT^64033007^Kidney", "^^"),
        ("csf", "brain", "SCT^65216001^Cerebrospinal fluid", "^^"),
        ("deep_grey_matter", "brain", "SCT^389081007^Gray matter", "SCT^795002^Deep"),
        ("fetal_head", "", "SCT^69536005^Head", "^^"),
        ("gall_bladder", "", "SCT^28231008^Gallbladder", "^^"),
    ],
)
def test_known_structures_get_their_code(label_name: str, anatomy: str, kind: str, modifier: str):
    found = parts(label_name, anatomy)
    assert (found["category"], found["type"], found["modifier"]) == (
        "SCT^123037004^Anatomical Structure",
        kind,
        modifier,
    )


@pytest.mark.parametrize(
    ("label_name", "anatomy", "region"),
    [
        ("brain_stem", "head", "SCT^12738006^Brain"),
        ("vertebrae_L1", "", "SCT^51282000^Vertebra"),
        ("lung_vessels", "", "SCT^39607008^Lung"),
        ("left_ventricle", "brain", "SCT^12738006^Brain"),
        ("structure_07", "mouse brain", "SCT^12738006^Brain"),
        ("sphere", "phantom", "^^"),
    ],
)
def test_a_label_that_says_more_than_a_known_structure_stays_generic(label_name: str, anatomy: str, region: str):
    found = parts(label_name, anatomy)
    assert found["type"] == "SCT^123037004^Anatomical Structure"
    assert found["region"] == region


def test_the_name_of_the_dataset_tells_what_a_part_is_part_of():
    terminology = label_terminology("Dataset101_HippocampusT1", "T1", "head", "anterior").terminology
    assert "~SCT^5366008^Hippocampus~SCT^255549009^Anterior~" in terminology
    terminology = label_terminology("Dataset105_MouseBrainT2", "T2", "mouse", "structure_07").terminology
    assert terminology.endswith("~SCT^12738006^Brain~^^")


def test_a_side_of_a_body_region_is_not_the_region():
    assert parts("anterior", "head") == {
        "category": "SCT^123037004^Anatomical Structure",
        "type": "SCT^123037004^Anatomical Structure",
        "modifier": "SCT^255549009^Anterior",
        "region": "SCT^69536005^Head",
        "region_modifier": "^^",
    }


def test_a_finding_is_an_altered_structure_in_its_region():
    assert parts("left_kidney_cyst") == {
        "category": ALTERED_STRUCTURE.triplet,
        "type": "SCT^367643001^Cyst",
        "modifier": "^^",
        "region": "SCT^64033007^Kidney",
        "region_modifier": "SCT^7771000^Left",
    }
    assert parts("ms_lesion", "brain")["region"] == "SCT^12738006^Brain"
    assert parts("haemorrhage", "head") == parts("hemorrhage", "head")


def test_a_tissue_has_the_tissue_category():
    assert parts("fat", "abdomen")["category"] == TISSUE.triplet


def test_an_object_overrides_single_parts():
    result = label_terminology("D", "", "brain", "structure_07", {"type": "SCT^4958002^Amygdala"})
    assert result.terminology == label_terminology("D", "", "brain", "structure_07").terminology.replace(
        "~SCT^123037004^Anatomical Structure~^^~", "~SCT^4958002^Amygdala~^^~"
    )


def test_a_complete_string_overrides_everything():
    own = "Mine~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~Places~^^~^^"
    assert label_terminology("D", "", "", "spleen", own).terminology == own


@pytest.mark.parametrize("bad", ["liver", "a~b~c~d~e~f~g", {"kind": "SCT^1^x"}, {"type": "liver"}, {"type": "a^b^c~d"}])
def test_a_malformed_override_is_refused_by_name(bad: str | dict[str, str]):
    with pytest.raises(DatasetError, match=r"Dataset7, label spleen"):
        label_terminology("Dataset7", "", "", "spleen", bad)


def test_the_mouse_structures_can_be_told_apart():
    colours = [label_terminology("D", "T2", "brain", name).colour for name in MOUSE_STRUCTURES]
    assert len(colours) == 37
    assert min(colour_distance(a, b) for a, b in itertools.combinations(colours, 2)) > 10


@pytest.mark.parametrize(
    "labels",
    [
        ["anterior", "posterior"],
        ["right_ventricle", "myocardium", "left_ventricle"],
        ["csf", "grey_matter", "white_matter", "deep_grey_matter"],
        ["right_lung", "left_lung", "heart"],
        ["liver", "spleen", "left_kidney", "right_kidney", "pancreas"],
    ],
)
def test_the_labels_of_one_dataset_can_be_told_apart(labels: list[str]):
    anatomy = "hippocampus" if "anterior" in labels else ""
    colours = [label_terminology("D", "", anatomy, name).colour for name in labels]
    assert min(colour_distance(a, b) for a, b in itertools.combinations(colours, 2)) > 15


def test_a_colour_depends_on_the_label_alone():
    assert label_terminology("A", "CT", "", "widget").colour == label_terminology("B", "MR", "brain", "widget").colour
    assert label_terminology("A", "CT", "", "widget").colour == (label_terminology("A", "CT", "", "Widget").colour), (
        "spelling in capitals is the same label"
    )


def test_every_colour_is_a_visible_byte_triple():
    for name in [*VOCABULARY, *MODIFIERS, *MOUSE_STRUCTURES]:
        colour = label_terminology("D", "", "brain", name).colour
        assert all(isinstance(channel, int) and 0 <= channel <= 255 for channel in colour)
        assert lightness_and_chroma(colour)[0] > 25, f"{name}: {colour} is lost on a dark image"


def test_synonyms_lead_to_words_of_the_vocabulary():
    for word, meaning in SYNONYMS.items():
        assert set(meaning.split()) <= VOCABULARY | set(MODIFIERS), word


def test_codes_are_those_of_the_dicom_standard():
    concepts_dict = pytest.importorskip("pydicom.sr._concepts_dict")
    meanings: dict[str, str] = {}
    for codes in concepts_dict.concepts["SCT"].values():
        meanings.update({code: meaning for code, (meaning, _) in codes.items()})
    for code in [concept.code for concept in (*STRUCTURES, *TISSUES, *FINDINGS)] + list(MODIFIERS.values()):
        if code.value in NOT_IN_PYDICOM:
            assert code.meaning == NOT_IN_PYDICOM[code.value]
            continue
        assert code.value in meanings, f"{code} is not in the DICOM context groups"
        official = meanings[code.value].lower().replace("thoracic", "chest")
        stems = [word[:4] for word in code.meaning.lower().split() if word != "of"]
        assert any(stem in official for stem in stems), f"{code} is {official!r} in DICOM"


def test_a_wrong_code_would_be_noticed():
    concepts_dict = pytest.importorskip("pydicom.sr._concepts_dict")
    spleen = [codes["78961009"] for codes in concepts_dict.concepts["SCT"].values() if "78961009" in codes]
    assert spleen
    assert "live" not in spleen[0][0].lower()


def test_slicer_parses_every_terminology_into_the_same_codes():
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    names = [" ".join(sorted(concept.words)) for concept in (*STRUCTURES, *TISSUES, *FINDINGS)]
    for name in [*names, *(f"left_{name}" for name in names), *MOUSE_STRUCTURES, "sphere"]:
        text = label_terminology("D", "", "brain", name).terminology
        entry = slicer.vtkSlicerTerminologyEntry()
        assert logic.DeserializeTerminologyEntry(text, entry), text
        assert logic.SerializeTerminologyEntry(entry) == text
        assert entry.GetTypeObject().GetCodeValue() == parts(name, "brain")["type"].split("^")[1]


def test_every_label_of_the_real_datasets_has_a_complete_terminology(shared_data: Path):
    for file in sorted(shared_data.glob("Dataset*/dataset.json")):
        for label in json.loads(file.read_text())["labels"]:
            if label != "background":
                found = parts(label)
                assert found["category"] != "^^"
                assert found["type"] != "^^"
