"""The card of a model, word by word: figures that are known must come out as people would write them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from MultiTaskSegLib.runtime.model.manifest import LabelInfo, Manifest
from MultiTaskSegLib.runtime.model.model_card import check_text, left_out_text, model_card, quality_line
from MultiTaskSegLib.runtime.model.training_data import ImageSizes, TrainingData
from MultiTaskSegLib.runtime.ood.score_law import ScoreLaw
from MultiTaskSegLib.runtime.quality.quality_info import QualityInfo, TaskQuality
from Testing.runtime.tiny_model import tiny_manifest

KNOWN = TaskQuality(12, 0.128, ("entropy", "volume"), (0.2, 1.0), (0.1, 2.0), (-0.03, 0.01))
DATA = TrainingData(
    reference="Doe 2020",
    released_weights_may_use=True,
    description="whole heads",
    field_of_view="not cropped",
    scanners="three makers, 3 T",
    ages="18-60 years",
    sizes=ImageSizes(9, ((10, 20), (64, 64), (1000, 1200)), ((5.0, 6.25), (1.0, 1.0), (0.5, 0.5))),
)
CARD = """\
tiny (3-D model, tests)
SHA-256 0123
Intended use: tests only
Training: 2000 steps, 31 minutes, from the weights of older (SHA-256 abcdefghijklmnop...)
Licence of the weights, from those of their data: CC BY-SA 4.0 (Dataset001_Balls); the other data ask to be cited
Out-of-distribution check: composite signature of encoder0, encoder1, decoder0; limit 3.00, false alarms 4 % of the \
held-out images, which also set the limit
Trained on, too, but left out: Left (mean Dice 0.250 on 4 held-out cases), Lost (Dice not recorded)

Dataset001_Balls: T1, head, 2 labels
  trained on 40 cases, measured on 9 others (few: others may lie far from these figures); data licence: CC BY-SA 4.0
  mean Dice 0.750; left ball 0.500; right ball 1.000
  calibration error (ECE) 0.012 near structures, 0.125 before temperature 1.30 (2.50 near the surface); false alarms 7 %
  estimated Dice: expected Dice corrected by entropy, volume; at least the estimate less 0.13 in nine of ten images \
like those of 12 held-out patients
  please cite: Doe 2020
  images: whole heads
  field of view: not cropped
  size: 10-20 x 64 x 1000-1200 voxels of 5-6.25 x 1 x 0.5 mm (z, y, x; 9 images looked at)
  scanners: three makers, 3 T
  ages: 18-60 years

Dataset002_Cubes: T2, region not known, 1 label
  trained on 4 cases, measured on 10 others; data licence: CC BY 4.0
  mean Dice nan
  calibration error (ECE) nan near structures, nan before temperature 1.00; false alarms nan %
  estimated Dice: expected Dice; no bound, which takes 9 held-out patients
  not recorded: images, field of view, size, scanners, ages
"""


def described() -> Manifest:
    """The tiny model with all that a file may say of one task, and nothing of the other."""
    manifest = tiny_manifest()
    first, second = manifest.tasks
    balls = replace(
        first,
        anatomy="head",
        licence="CC BY-SA 4.0",
        training_cases=40,
        held_out_cases=9,
        held_out_dice={"left_ball": 0.5, "right_ball": 1.0},
        calibration={"ece": 0.0124, "ece_uncalibrated": 0.125},
        temperature=1.3,
        surface_temperature=2.5,
        data=DATA,
    )
    cubes = replace(second, anatomy="", licence="CC BY 4.0", held_out_cases=10)
    left_out = {"Left": {"held_out_dice": {"a": 0.2, "b": 0.3}, "held_out_cases": 4}, "Lost": {"held_out_dice": {}}}
    training = {
        "steps": 2000,
        "minutes": 30.6,
        "finetuning": {"model": "older", "sha256": "abcdefghijklmnopqrstuvwxyz"},
        "left_out": left_out,
    }
    ood = replace(manifest.ood, false_alarm_rate=0.04, false_alarm_rate_by_task={balls.name: 0.07})
    quality = QualityInfo(1, (KNOWN, TaskQuality(8)))
    return replace(manifest, tasks=(balls, cubes), training=training, ood=ood, quality=quality)


def test_the_card_of_a_model_of_which_all_is_known_or_nothing() -> None:
    assert model_card(described(), "0123") == CARD


def test_the_card_says_which_share_of_averaged_weights_is_the_model_s_own() -> None:
    training = described().training | {"averaged": {"model": "older", "sha256": "ab", "share": 0.75}}
    card = model_card(replace(described(), training=training), "0123")
    assert "(SHA-256 abcdefghijklmnop...), averaged with these (75 % its own)\n" in card


def test_nothing_known_of_the_training_is_said_so() -> None:
    card = model_card(replace(described(), training={"steps": "many", "finetuning": {"sha256": "0"}}), "0123")
    assert "\nTraining: not recorded\n" in card
    assert "left out" not in card


def test_a_task_without_labels_says_that_nothing_is_segmented() -> None:
    manifest = described()
    bare = replace(manifest.tasks[0], labels=(), held_out_dice={}, data=TrainingData())
    lines = model_card(replace(manifest, tasks=(bare,), quality=None), "0123").split("\n")
    assert lines[lines.index("") + 1 :] == [
        "Dataset001_Balls: T1, head, 0 labels (pre-trained without labels: nothing is segmented)",
        "  40 images, 9 others held out; data licence: CC BY-SA 4.0; false alarms 7 %",
        "  not recorded: images, field of view, size, scanners, ages",
        "",
    ]


@pytest.mark.parametrize(("names", "are_shown"), [(8, True), (9, False)])
def test_channels_regions_and_the_dice_of_few_labels_are_listed(names: int, are_shown: bool) -> None:
    manifest = described()
    dice = {f"part_{number}": number / 10 for number in range(names)}
    task = replace(manifest.tasks[0], inputs=("FLAIR", "T1"), are_regions=True, held_out_dice=dice)
    card = model_card(replace(manifest, tasks=(task, manifest.tasks[1])), "0123")
    head = "Dataset001_Balls: T1, head, 2 regions, which may overlap; channels of an image, in this order: FLAIR, T1\n"
    assert head in card
    assert ("; part 1 0.100; part 2 0.200" in card) is are_shown


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"held_out_dice": {"a": 0.5}, "held_out_cases": 3}, "mean Dice 0.500 on 3 held-out cases"),
        ({"held_out_dice": {"a": 0.0, "b": 1.0}}, "mean Dice 0.500 on held-out cases"),
        ({"held_out_dice": {"a": 0.5}, "held_out_cases": True}, "mean Dice 0.500 on held-out cases"),
        ({"held_out_dice": {"a": 1.1}}, "Dice not recorded"),
        ({"held_out_dice": {"a": -0.1}}, "Dice not recorded"),
        ({"held_out_dice": {"a": "good"}}, "Dice not recorded"),
        ({"held_out_dice": 0.5}, "Dice not recorded"),
        (7, "Dice not recorded"),
    ],
)
def test_what_a_file_notes_of_a_task_that_was_left_out_is_said_where_it_makes_sense(known: Any, words: str) -> None:
    manifest = replace(tiny_manifest(), training={"left_out": {"Left": known}})
    assert left_out_text(manifest) == f"Trained on, too, but left out: Left ({words})"


def test_without_anything_left_out_there_is_no_such_line() -> None:
    for training in ({}, {"left_out": {}}, {"left_out": ["Left"]}):
        assert left_out_text(replace(tiny_manifest(), training=training)) == ""


def test_one_task_with_a_limit_of_its_own_has_one_number_and_its_interval() -> None:
    ood = replace(
        tiny_manifest().ood,
        false_alarm_rate=0.034,
        tail_share=0.025,
        score_laws=(ScoreLaw(0.0, 0.1, 1e9, 160),),
        false_alarm_interval=(0.012, 0.066),
    )
    # The law is as good as normal: exp(0.1 z) with z(0.975) = 1.95996.
    assert check_text(ood, 1) == (
        "Out-of-distribution check: composite signature of encoder0, encoder1, decoder0; limit 1.22, where 2.5 % of "
        "new images are expected beyond; false alarms 3 % (95 % interval 1 to 7 %) of known images, each patient left "
        "out of all that the check fits"
    )


def test_a_margin_without_traits_corrects_nothing() -> None:
    assert quality_line(TaskQuality(9, 0.05)) == (
        "  estimated Dice: expected Dice; at least the estimate less 0.05 in nine of ten images like those of 9 "
        "held-out patients"
    )


def test_a_2d_model_is_called_that_and_labels_are_counted() -> None:
    manifest = tiny_manifest(is_planar=True)
    three = tuple(LabelInfo(n, f"l{n}", f"l{n}", (0, 0, 0), "") for n in (1, 2, 3))
    card = model_card(replace(manifest, tasks=(replace(manifest.tasks[0], labels=three),)), "0123")
    assert card.startswith("tiny (2-D model, tests)\n")
    assert "Dataset001_Balls: T1, none, 3 labels\n" in card
