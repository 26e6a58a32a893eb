"""Body regions and modality families from words."""

from __future__ import annotations

import pytest

from trainer.data.body_region import infer_region, modality_family


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


@pytest.mark.parametrize(
    "modality, family",
    [
        ("T1", "MR"),
        ("t2w", "MR"),
        ("cine-MRI", "MR"),
        ("FLAIR", "MR"),
        ("CT", "CT"),
        ("X-ray", "X-ray"),
        ("x-ray", "X-ray"),
        ("ultrasound", "ultrasound"),
        ("US", "ultrasound"),
        ("OCT", "oct"),
        ("photograph", "photograph"),
    ],
)
def test_modalities_of_one_family_are_told_by_their_words(modality: str, family: str) -> None:
    assert modality_family(modality) == family
