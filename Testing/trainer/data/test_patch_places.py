"""Where patches lie: around the labels that were drawn, inside large cases, everywhere around small ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from trainer.config import TrainingConfig
from trainer.data import patches
from trainer.data.augmentation import Patch
from trainer.data.case_cache import PreparedCase
from trainer.data.dataset import Dataset
from trainer.data.patches import PatchGroups, draw_patch
from trainer.data.planning import TaskPlan
from trainer.layout.case import Case

PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
Triple = tuple[int, int, int]
DRAWS = 400
# Three standard errors of a share of one half among so many draws.
ERROR = 0.075


def task(patch: Triple, name: str = "D") -> TaskPlan:
    dataset = Dataset(Path(name), name, "T1", "head", {1: "a", 2: "b"}, ())
    return TaskPlan(dataset, PROFILE, 0, ("a", "b"), ((1,), (2,)), patch, ())


def prepared(shape: Triple, points: dict[int, list[Triple]], fill: float = 0.0) -> PreparedCase:
    """Nothing but the places from which labels are drawn counts here."""
    voxels, labels = np.full(shape, fill, dtype=np.float16), np.zeros(shape, dtype=np.uint8)
    found = {value: np.array(places, dtype=np.int16) for value, places in points.items()}
    return PreparedCase(Case("c", Path("i"), Path("l"), "g"), voxels, labels, found)


def starts(case: PreparedCase, patch: Triple, fraction: float, draws: int = DRAWS) -> np.ndarray:
    """First voxels of drawn patches, ``(draws, 3)``; they fall on whole voxels."""
    records = [draw_patch(np.random.default_rng(n), task(patch), case, "", fraction) for n in range(draws)]
    found = np.array([record.centre_zyx for record in records]) - (np.array(patch) - 1) / 2
    np.testing.assert_array_equal(found, np.round(found))
    return found.astype(int)


def shows(found: np.ndarray, patch: Triple, point: Triple) -> np.ndarray:
    """Which of the patches hold a voxel."""
    return ((found <= point) & (np.array(point) < found + patch)).all(axis=1)


# So large that a patch shows one of the two labelled voxels by chance in less than one of a thousand draws.
WIDE: Triple = (9, 500, 500)
FIRST, SECOND = (1, 2, 3), (7, 400, 380)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.6, 1.0])
def test_exactly_the_asked_share_of_patches_shows_a_label(fraction: float) -> None:
    found = starts(prepared(WIDE, {1: [FIRST], 2: [SECOND]}), (4, 8, 8), fraction)
    share = (shows(found, (4, 8, 8), FIRST) | shows(found, (4, 8, 8), SECOND)).mean()
    # Nothing is left to chance at the ends: a label that was drawn is always inside.
    assert abs(share - fraction) <= (ERROR if 0 < fraction < 1 else 0.0)


def test_rare_labels_are_shown_as_often_as_common_ones() -> None:
    common = [(1, y, x) for y in range(0, 100, 2) for x in range(0, 100, 2)]
    found = starts(prepared(WIDE, {1: common, 2: [SECOND]}), (4, 8, 8), 1.0)
    assert shows(found, (4, 8, 8), SECOND).mean() == pytest.approx(0.5, abs=ERROR)


def test_each_drawn_voxel_of_a_label_is_shown() -> None:
    places = [(4, 100, 100), (4, 200, 300), (4, 400, 50)]
    found = starts(prepared(WIDE, {1: places}), (4, 8, 8), 1.0)
    for place in places:
        assert shows(found, (4, 8, 8), place).mean() == pytest.approx(1 / 3, abs=ERROR)


def test_a_label_lies_off_the_middle_of_its_patch_by_up_to_a_fifth_of_it() -> None:
    patch, point = (10, 60, 40), (100, 250, 250)
    offsets = starts(prepared((200, 500, 500), {1: [point]}), patch, 1.0) + (np.array(patch) - 1) / 2 - point
    for axis, side in enumerate(patch):
        # Rounding to whole voxels adds half a voxel at most.
        assert 0.2 * side - 1.0 < offsets[:, axis].max() <= 0.2 * side + 0.5
        assert -0.2 * side - 0.5 <= offsets[:, axis].min() < -0.2 * side + 1.0
        assert abs(offsets[:, axis].mean()) < 0.1 * side / 3


def test_without_labels_wanted_nobody_looks_at_them() -> None:
    class Untouchable(dict[int, np.ndarray]):
        def __bool__(self) -> bool:
            raise AssertionError("the labels were looked at")

    case = prepared((8, 20, 20), {})
    object.__setattr__(case, "points", Untouchable())
    draw_patch(np.random.default_rng(1), task((4, 8, 8)), case, "", 0.0)


def test_patches_of_a_larger_case_reach_every_place_inside_it_and_none_outside() -> None:
    found = starts(prepared((6, 12, 9), {}), (4, 8, 8), 0.0)
    assert set(found[:, 0]) == {0, 1, 2}
    assert set(found[:, 1]) == {0, 1, 2, 3, 4}
    assert set(found[:, 2]) == {0, 1}


def test_patches_of_a_large_case_lie_anywhere_alike() -> None:
    found = starts(prepared(WIDE, {}), (4, 8, 8), 0.0)[:, 1:]
    # Sixths of the way from one edge to the other; a patch near the edge is pushed inside by half its size at most.
    counts = np.array([np.histogram(found[:, axis], bins=6, range=(0, 492))[0] for axis in (0, 1)])
    np.testing.assert_allclose(counts / DRAWS, 1 / 6, atol=ERROR)


@pytest.mark.parametrize("grid, is_tilted", [("spacing", True), ("fit", False)])
def test_volumes_are_tilted_and_pictures_are_not(grid: str, is_tilted: bool) -> None:
    spacing = (1.0, 1.0, 1.0) if grid == "spacing" else None
    matrix = None if spacing else 8
    profile = Profile("p", grid, Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=spacing, matrix=matrix)  # type: ignore[arg-type]
    plan, case = replace(task((4, 8, 8)), profile=profile), prepared((4, 8, 8), {})
    matrices = [np.array(draw_patch(np.random.default_rng(n), plan, case, "", 0.0).matrix) for n in range(20)]
    assert any(found[0, 1] != 0 for found in matrices) is is_tilted
    assert any(found[1, 2] != 0 for found in matrices)


def test_a_label_at_the_edge_does_not_pull_the_patch_out_of_the_case() -> None:
    for corner in ((0, 0, 0), (9, 19, 19)):
        found = starts(prepared((10, 20, 20), {1: [corner]}), (4, 8, 8), 1.0, draws=60)
        assert (found >= 0).all()
        assert (found <= (6, 12, 12)).all()
        assert shows(found, (4, 8, 8), corner).all()


def test_a_smaller_case_lies_at_every_place_of_the_patch_and_is_always_whole() -> None:
    # Along y the case is larger than the patch, along z and x smaller.
    found = starts(prepared((3, 10, 5), {}), (4, 8, 8), 0.0)
    assert set(found[:, 0]) == {-1, 0}
    assert set(found[:, 1]) == {0, 1, 2}
    assert set(found[:, 2]) == {-3, -2, -1, 0}
    assert set(starts(prepared((4, 8, 8), {}), (4, 8, 8), 0.0, draws=20).ravel()) == {0}


def test_another_patch_size_than_the_task_s_counts_for_the_place() -> None:
    case = prepared((6, 12, 12), {})
    centres = {
        draw_patch(np.random.default_rng(n), task((4, 8, 8)), case, "", 0.0, (6, 12, 12)).centre_zyx for n in range(9)
    }
    assert centres == {(2.5, 5.5, 5.5)}


def test_every_case_of_a_task_is_drawn_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [prepared((4, 8, 8), {}, fill) for fill in (0.25, 0.5, 0.75, 1.0)]

    def cut(record: object, voxels: np.ndarray, labels: np.ndarray, patch: Triple, further: tuple[()]) -> Patch:
        return Patch(torch.tensor(float(voxels[0, 0, 0])), torch.tensor(0), torch.tensor(True))

    monkeypatch.setattr(patches, "apply_augmentation", cut)
    made = PatchGroups([task((4, 8, 8))], [cases], TrainingConfig(patches_per_group=2))
    drawn = [made[number].images.tolist() for number in range(DRAWS // 2)]
    counts = Counter(value for pair in drawn for value in pair)
    assert set(counts) == {0.25, 0.5, 0.75, 1.0}
    assert all(abs(count / DRAWS - 0.25) <= ERROR for count in counts.values())
    # The patches of a group are drawn one after the other, not all of one case.
    assert any(a != b for a, b in drawn)


def test_only_the_task_that_is_named_is_mirrored() -> None:
    config = TrainingConfig(mirror_axes={"Named": "x"})
    tasks, case = [task((4, 8, 8), "Named"), task((4, 8, 8), "Other")], prepared((4, 8, 8), {})
    made = PatchGroups(tasks, [[case], [case]], config)
    signs = {
        plan.name: {np.sign(made._record(np.random.default_rng(n), plan, case).matrix[2][2]) for n in range(40)}
        for plan in tasks
    }
    assert signs == {"Named": {-1.0, 1.0}, "Other": {1.0}}
