"""Families of modalities from a checked vocabulary: what is not in it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.context.modality import FAMILIES, PHRASES, WORDS, families_in
from trainer.data.dataset import Dataset


def dataset(modality: str, anatomy: str = "", **info: Any) -> Dataset:
    said = {"anatomy": anatomy} if anatomy else {}
    return Dataset(Path("D"), "D", modality, anatomy, {1: "a"}, (), info | said)


@pytest.mark.parametrize(
    "family, modalities",
    [
        (
            "MR",
            "T1 t2w cine-MRI LGE-MRI FLAIR T1ce T1Gd T1post MPRAGE SWI PDw MRA TOF-MRA T2* GRE bSSFP DWI DCE",
        ),
        ("CT", "CT CTA NCCT CECT LDCT HRCT cone-beam-CT"),
        ("X-ray", "X-ray x-ray DXR mammography CXR"),
        ("ultrasound", "ultrasound US echo B-mode"),
        ("OCT", "OCT"),
        ("photograph", "photograph picture green fundus"),
    ],
)
def test_modalities_of_one_family_are_told_by_their_words(family: str, modalities: str) -> None:
    for modality in modalities.split():
        assert families_in(modality) == (family,), modality


@pytest.mark.parametrize("modality", ["gradient echo MRI", "Gradient-Echo", "spin echo T1", "T1 post-contrast"])
def test_an_echo_of_magnetic_resonance_is_no_ultrasound(modality: str) -> None:
    assert dataset(modality).channel_families == ("MR",)


def test_no_word_means_two_families() -> None:
    words = [word for known in WORDS.values() for word in known]
    assert len(words) == len(set(words))
    for family, phrases in PHRASES.items():
        assert all(families_in(phrase) == (family,) for phrase in phrases)


@pytest.mark.parametrize("modality", ["zscore", "noNorm", "image", ""])
def test_a_word_that_is_not_known_is_asked_for(modality: str) -> None:
    with pytest.raises(DatasetError, match="is not known") as refused:
        assert dataset(modality).channel_families
    assert "modality_family" in refused.value.remedy
    assert dataset(modality, modality_family="MR").channel_families == ("MR",)


def test_words_of_two_families_are_asked_for() -> None:
    with pytest.raises(DatasetError, match="can be CT or PET"):
        assert dataset("PET/CT").channel_families
    assert dataset("PET/CT", modality_family="PET").channel_families == ("PET",)


def test_a_family_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DatasetError, match="'modality_family' 'Magnet' of dataset D is not known"):
        assert dataset("T1", modality_family="Magnet").channel_families
    assert all(dataset("zscore", modality_family=family).channel_families == (family,) for family in FAMILIES)


def test_images_without_labels_need_no_family() -> None:
    bare = replace(dataset("unknown"), labels={})
    assert bare.channel_families == ("",)
    assert bare.may_share_structures(dataset("CT", "liver"))


def test_brain_and_head_are_one_region_and_other_modalities_or_regions_are_not_shared() -> None:
    assert dataset("T1", "brain").may_share_structures(dataset("FLAIR", "head"))
    assert not dataset("T1", "brain").may_share_structures(dataset("CT", "head"))
    assert not dataset("CT", "brain").may_share_structures(dataset("CT", "liver"))


def test_an_anatomy_without_a_known_word_is_refused_and_none_is_fine() -> None:
    with pytest.raises(DatasetError, match="'anatomy' 'thingummy'"):
        dataset("T1", "thingummy").require_known_region()
    for anatomy in ("", "brain", "left knee"):
        dataset("T1", anatomy).require_known_region()
