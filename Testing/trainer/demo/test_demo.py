"""The demo: what counts as the story holding, what it writes, and what it never overwrites."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from trainer.demo.demo import run_demo
from trainer.demo.story import KnownCase, Story, numbers, summary

PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), (1.0, 1.0, 1.0))


def result(is_ood: bool, task: str = "heart") -> Segmentation:
    """A segmentation of four voxels with the given verdict."""
    score = 9.0 if is_ood else 1.0
    return Segmentation(
        volume=Volume(np.ones((1, 2, 2), np.float32), np.eye(4), "x"),
        labels=np.zeros((1, 2, 2), np.uint8),
        uncertainty=np.zeros((1, 2, 2), np.float32),
        confidence=np.ones((1, 2, 2), np.float32),
        task=TaskInfo(task, "MR", "chest", (LabelInfo(1, "a", "a", (1, 2, 3), ""),), PROFILE, 0, 1.0, "", 1, 1),
        verdict=Verdict(is_ood, score, 2.0, 0.5, task, {task: score}),
        model_name="m",
        model_sha256="0",
        device="cpu",
        timings={},
        warnings=(),
    )


def known(dice: float, is_ood: bool = False, chosen: str = "heart") -> KnownCase:
    return KnownCase("case", "heart", result(is_ood, chosen), {"a": dice, "b": dice})


def story(**changes: object) -> Story:
    """A story that holds, with changes."""
    held = Story((known(0.9), known(0.8), known(0.9)), {"knee": result(True)}, {"spikes": result(False)}, 1.0, 2.0)
    return replace(held, **changes)


def test_story_holds_when_foreign_is_flagged_and_known_is_segmented() -> None:
    assert story().failures() == []
    assert "The story held" in summary(story(), Path("x"))


def test_a_foreign_image_that_is_not_flagged_breaks_the_story() -> None:
    told = story(foreign={"knee": result(True), "seed pod": result(False)})
    assert told.failures() == ["seed pod was not flagged"]
    assert "did NOT hold: seed pod was not flagged" in summary(told, Path("x"))


def test_low_dice_breaks_the_story() -> None:
    assert story(known=(known(0.59), known(0.59), known(0.59))).failures() == ["mean Dice of heart is 0.59, below 0.6"]


@pytest.mark.parametrize("dice, holds", [(0.599, False), (0.6, True), (0.601, True)])
def test_the_promised_dice_of_a_task_is_six_tenths(dice: float, holds: bool) -> None:
    assert (story(known=(known(dice),)).failures() == []) is holds


def test_a_wrong_task_counts_as_dice_zero() -> None:
    assert known(1.0, chosen="torso").mean_dice == 0.0
    assert known(0.6).mean_dice == pytest.approx(0.6)


def test_one_false_alarm_of_three_is_tolerated_and_two_are_not() -> None:
    one, two = (tuple(known(0.9, is_ood=number < alarms) for number in range(3)) for alarms in (1, 2))
    assert story(known=one).failures() == []
    assert story(known=two).failures() == ["2 of 3 unseen cases of heart were flagged"]


def test_spoilt_images_are_shown_and_promise_nothing() -> None:
    for is_ood, words in ((True, "FLAGGED"), (False, "not flagged")):
        told = story(spoilt={"spikes": result(is_ood)})
        assert told.failures() == []
        assert any("spikes" in line and words in line for line in summary(told, Path("x")).splitlines())


def test_numbers_are_plain_json() -> None:
    plain = json.loads(json.dumps(numbers(story())))
    assert plain["known"][0]["dice"] == {"a": 0.9, "b": 0.9}
    assert plain["foreign"]["knee"]["is_ood"] is True


def test_a_folder_with_other_things_in_it_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        run_demo(tmp_path, stream=io.StringIO(), output=io.StringIO())
    assert (tmp_path / "data" / "thesis.txt").read_text() == "mine"
