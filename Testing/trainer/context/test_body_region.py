"""Body regions from words, and which of them images may share."""

from __future__ import annotations

import pytest

from trainer.context.body_region import infer_region, may_overlap


@pytest.mark.parametrize(
    "name, region",
    [
        ("Dataset101_HippocampusT1", "head"),
        ("Dataset104_MouseBrainT2", "mouse"),
        ("Dataset113_FetalHeadUS", "fetus"),
        ("Dataset114_BreastLesionUS", "breast"),
        ("Dataset118_MSLesionFLAIR2D", "head"),
        ("Dataset106_LVCineSunnybrook", "chest"),
        ("Task05_Prostate", "pelvis"),
        ("Task09_Spleen", "abdomen"),
        ("Dataset300_KneeMR", "limb"),
        ("Dataset301_Chips", ""),
        ("Dataset302_Whip", ""),
    ],
)
def test_the_region_follows_from_whole_words_of_the_name(name: str, region: str) -> None:
    assert infer_region(name) == region


def test_the_description_counts_only_where_the_name_says_nothing() -> None:
    assert infer_region("Dataset1_X", "kidney tumours") == "abdomen"
    assert infer_region("Dataset1_Brain", "kidney tumours") == "head"


def test_a_name_of_two_regions_names_none() -> None:
    assert infer_region("Dataset1_HeadAndNeck") == ""
    assert infer_region("Dataset1_MouseBrain") == "mouse"


@pytest.mark.parametrize(
    "first, second, overlap",
    [
        ("brain", "head", True),
        ("hippocampus", "skull", True),
        ("heart", "head", False),
        ("chest", "abdomen", True),
        ("liver", "heart", True),
        ("brain", "liver", False),
        ("mouse brain", "brain", False),
        ("fetal head", "head", False),
        ("soft tissue", "brain", True),
        ("soft tissue", "mouse", False),
        ("", "brain", True),
        ("chips", "brain", True),
    ],
)
def test_structures_are_called_absent_only_where_images_never_show_the_other_region(
    first: str, second: str, overlap: bool
) -> None:
    assert may_overlap(first, second) is overlap
    assert may_overlap(second, first) is overlap
