"""Oracles of the thorough check: figures that can be counted, and a result that nothing takes away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.runtime.quality.image_agreement import ImageAgreement
from MultiTaskSegLib.runtime.quality.usability import DO_NOT_USE, GOOD, LOOK_HERE
from MultiTaskSegLib.runtime.selection.region import Region
from MultiTaskSegLib.runtime.selection.selection import Selection
from MultiTaskSegLib.runtime.thorough import further_looks
from MultiTaskSegLib.runtime.thorough.change import changes_of
from MultiTaskSegLib.runtime.thorough.further_looks import looked_again
from Testing.runtime.tiny_model import tiny_manifest, write_tiny_model

TASK = tiny_manifest().tasks[0]
LEFT, RIGHT = 1, 2


def scan() -> Volume:
    return Volume(np.random.default_rng(3).normal(size=(4, 10, 10)).astype(np.float32), np.eye(4), "scan")


@dataclass
class Counted:
    """A model whose labels are given look by look; the first is the result."""

    maps: list[Any]
    manifest: Any = field(default_factory=tiny_manifest)
    seen: list[Volume] = field(default_factory=list)
    grid: Callable[[Volume], dict[str, Any]] | None = None

    def segment(
        self, volume: Volume, task: str = "auto", progress: Callable[[float, str], None] | None = None
    ) -> Segmentation:
        assert task == TASK.name
        self.seen.append(volume)
        made = self.maps[(len(self.seen) - 1) % len(self.maps)]
        if isinstance(made, Exception):
            raise made
        if progress:
            progress(0.5, "network")
            progress(1.0, "done")
        blank = np.zeros(made.shape, np.float32)
        grid = None if self.grid is None else self.grid(volume)
        return Segmentation(volume, made, blank, blank, TASK, None, "m", "0" * 64, "cpu", {}, (), grid=grid)


def ball(*, left: int, right: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """So many voxels of each structure."""
    labels = np.zeros((4, 10, 10), np.uint8)
    labels[0].ravel()[:left] = LEFT
    labels[1].ravel()[:right] = RIGHT
    return labels


def thorough(
    result: np.ndarray[Any, Any], *others: Any, inside: Any = None, told: list[float] | None = None
) -> Segmentation:
    volume = scan()
    found = Counted([result]).segment(volume, TASK.name)
    listen = (lambda share, step: None) if told is None else (lambda share, step: told.append(share))
    return looked_again(Counted(list(others)), volume, found, listen, inside)


def agreement(found: Segmentation) -> ImageAgreement:
    assert found.agreement is not None
    return found.agreement


def test_looks_that_find_the_same_agree_fully_and_the_answer_is_good() -> None:
    found = agreement(thorough(ball(left=40, right=60), ball(left=40, right=60)))
    assert found.dice == {LEFT: 1.0, RIGHT: 1.0}
    assert found.answer == GOOD


def test_the_agreement_is_the_mean_dice_with_the_result() -> None:
    # The first half of the looks finds 20 of 40 voxels, the others 40: Dice 2 * 20 / 60, and 1.
    found = agreement(thorough(ball(left=40, right=60), ball(left=20, right=60), ball(left=40, right=60)))
    assert found.dice[LEFT] == pytest.approx((2 / 3 + 1) / 2)
    assert found.dice[RIGHT] == 1.0
    assert found.mean == pytest.approx((5 / 6 + 1) / 2)
    assert found.answer == GOOD  # 0.917
    assert found.looks == len(changes_of(scan(), [False]))


def test_a_structure_that_only_the_result_shows_has_no_agreement_and_one_that_nobody_shows_no_figure() -> None:
    found = agreement(thorough(ball(left=40, right=0), ball(left=0, right=0)))
    assert found.dice == {LEFT: 0.0, RIGHT: None}
    assert found.answer == DO_NOT_USE
    nothing = agreement(thorough(ball(left=0, right=0), ball(left=0, right=0)))
    assert nothing.mean is None
    assert nothing.answer == DO_NOT_USE


def test_labels_that_change_places_do_not_agree() -> None:
    swapped = np.array([0, RIGHT, LEFT], np.uint8)[ball(left=40, right=60)]
    assert agreement(thorough(ball(left=40, right=60), swapped)).dice == {LEFT: 0.0, RIGHT: 0.0}


def test_only_what_lies_inside_is_compared() -> None:
    inside = np.zeros((4, 10, 10), np.bool_)
    inside[0, :2] = True  # twenty voxels of the left one, on which all agree
    found = agreement(thorough(ball(left=40, right=60), ball(left=20, right=0), inside=inside))
    assert found.dice == {LEFT: 1.0, RIGHT: None}


def test_the_result_and_all_that_is_said_of_it_stay() -> None:
    plain, checked = (thorough(ball(left=40, right=60), ball(left=20, right=60)) for _ in range(2))
    assert replace(checked, agreement=None).report() | {"thorough": None} == plain.report() | {"thorough": None} | {
        "labels": [row | {"agreement": None} for row in plain.report()["labels"]]
    }
    np.testing.assert_array_equal(checked.labels, ball(left=40, right=60))
    assert checked.warnings == ()


def test_a_look_that_fails_is_told_and_the_others_count() -> None:
    found = thorough(ball(left=40, right=60), InputError("nothing is left of it"), ball(left=40, right=60))
    looks = len(changes_of(scan(), [False]))
    assert agreement(found).looks == looks - (looks + 1) // 2
    assert "looks of the thorough check failed: nothing is left of it" in found.warnings[0]


@pytest.mark.parametrize(
    "failure",
    [ResourceError("the run needs 3 GB"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_without_memory_for_further_looks_the_result_is_kept_and_it_is_said(failure: Exception) -> None:
    found = thorough(ball(left=40, right=60), failure)
    assert found.agreement is None
    assert found.report()["thorough"] is None
    assert "the thorough check could not be made" in found.warnings[0]


def test_a_fault_of_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        thorough(ball(left=40, right=60), ZeroDivisionError())


def test_progress_rises_to_the_end() -> None:
    told: list[float] = []
    thorough(ball(left=40, right=60), ball(left=40, right=60), told=told)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_a_foreign_image_is_never_called_good_however_far_looks_agree() -> None:
    sure = ImageAgreement({LEFT: 1.0}, 4)
    assert sure.as_dict(is_foreign=False)["answer"] == GOOD
    assert sure.as_dict(is_foreign=True)["answer"] == LOOK_HERE
    bad = ImageAgreement({LEFT: 0.1}, 4)
    assert bad.as_dict(is_foreign=True)["answer"] == DO_NOT_USE


def test_what_is_not_wanted_does_not_count() -> None:
    both = ImageAgreement({LEFT: 1.0, RIGHT: 0.0}, 4)
    assert both.only([LEFT]).mean == 1.0


def test_a_structure_that_the_result_lacks_keeps_it_from_being_good_however_many_others_agree() -> None:
    dice = dict.fromkeys(range(1, 20), 0.99)
    assert ImageAgreement(dice, 2).answer == GOOD
    assert ImageAgreement({**dice, 20: 0.0}, 2).mean == pytest.approx(0.9405)
    assert ImageAgreement({**dice, 20: 0.0}, 2).answer == LOOK_HERE
    assert ImageAgreement({**dice, 20: None}, 2).answer == LOOK_HERE


def grid_of(voxels: int) -> dict[str, Any]:
    return {"size": [voxels] * 3}


def looks_on(grid: Callable[[Volume], dict[str, Any]], volume: Volume) -> Segmentation:
    labels = ball(left=40, right=60)[:, : volume.shape[1]]
    model = Counted([labels], grid=grid)
    return looked_again(model, volume, model.segment(volume, TASK.name), lambda share, step: None)


def test_looks_that_see_the_very_same_image_are_no_sign_that_a_result_is_good() -> None:
    found = looks_on(lambda volume: grid_of(30), scan())
    assert found.agreement is None
    assert "the thorough check could not be made: in another voxel size" in found.warnings[0]


def test_only_looks_that_see_another_image_count() -> None:
    # As of voxels a little coarser than the finest grid: what is larger is not seen larger, what is smaller is.
    found = looks_on(lambda volume: grid_of(30 if volume.spacing_mm[0] >= 1 else 27), scan())
    assert agreement(found).looks == 1
    assert found.warnings[0].startswith("1 of 2 looks of the thorough check failed")
    # As of a model that takes pictures without the size of their pixels.
    picture = replace(scan(), voxels=scan().voxels[:1])
    flat = Counted([ball(left=40, right=0)[:1]], grid=lambda volume: grid_of(30))
    seen = looked_again(flat, picture, flat.segment(picture, TASK.name), lambda share, step: None)
    assert agreement(seen).looks == 2


@pytest.mark.parametrize("region", [None, Region.between((-40, -10, -50, -10, 10, 60))])
def test_of_voxels_too_coarse_to_be_seen_in_another_size_nobody_knows_how_far_looks_agree(
    tmp_path: Path, region: Region | None
) -> None:
    predictor = Predictor.load(write_tiny_model(tmp_path / "tiny.mts.safetensors"), "cpu")  # of 2 mm
    voxels = np.random.default_rng(0).normal(size=(12, 14, 16)).astype(np.float32)
    wanted = Selection("Dataset001_Balls", region, is_thorough=True)
    agreements = []
    for spacing_mm in (3.0, 6.0):
        volume = Volume(voxels, np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0]), "scan")
        found = wanted.segment(predictor, volume, lambda share, step: None)
        agreements.append(found.agreement)
    assert agreements[0] is not None
    assert agreements[0].looks == 2
    assert agreements[1] is None


def test_nothing_of_a_look_takes_memory_while_the_next_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    @dataclass
    class Watching(Counted):
        last: Callable[[], object] = lambda: None

        def segment(
            self, volume: Volume, task: str = "auto", progress: Callable[[float, str], None] | None = None
        ) -> Segmentation:
            assert self.last() is None, "the result of the look before is still there"
            events.append("look")
            made = super().segment(volume, task, progress)
            self.last = ref(made)
            return made

    monkeypatch.setattr(further_looks, "release_freed_memory", lambda: events.append("memory handed back"))
    found = Counted([ball(left=40, right=60)]).segment(scan(), TASK.name)
    looked_again(Watching([ball(left=40, right=60)]), scan(), found, lambda share, step: None)
    assert events == ["memory handed back", "look"] * 2
