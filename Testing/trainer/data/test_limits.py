"""Limits of planning, verifying and preparing as promised, with a value on either side of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.case_cache import ENDING, prepare_cases
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.planning import make_plan
from trainer.layout.case import Case, LabelMap
from trainer.layout.label_grid import grid_differences

CONFIG = TrainingConfig(channels=(4, 6))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("ratio, is_shared", [(1.24, True), (1.26, False), (1 / 1.24, True), (1 / 1.26, False)])
def test_spacings_that_differ_by_at_most_a_quarter_along_every_axis_share_a_grid(
    tmp_path: Path, ratio: float, is_shared: bool, axis: int
) -> None:
    spacing = [2.0, 2.0, 2.0]
    spacing[axis] *= ratio
    x, y, z = spacing
    written = [BallDataset("A", (2.0, 2.0, 2.0), (4, 8, 8), 2), BallDataset("B", (x, y, z), (4, 8, 8), 2)]
    first, second = make_plan([read_dataset(d.write(tmp_path)) for d in written], CONFIG).tasks
    assert (first.profile == second.profile) is is_shared


@pytest.mark.parametrize("lowest, method", [(-199.0, "percentile"), (-201.0, "range")])
def test_ct_values_are_hounsfield_units_when_something_is_air(tmp_path: Path, lowest: float, method: str) -> None:
    folder = BallDataset("Ct", modality="CT", shape=(4, 8, 8), patients=2, offset=0.0).write(tmp_path)
    path = folder / "imagesTr" / "case_01_0000.nii.gz"
    image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    image[0, 0, 0] = lowest
    sitk.WriteImage(image, str(path))
    assert make_plan([read_dataset(folder)], CONFIG).tasks[0].profile.intensity.method == method


def test_images_without_a_unit_are_scaled_from_their_1_to_their_99_5_percentile(tmp_path: Path) -> None:
    folder = BallDataset("A", shape=(4, 8, 8), patients=2).write(tmp_path)
    intensity = make_plan([read_dataset(folder)], CONFIG).tasks[0].profile.intensity
    assert (intensity.method, intensity.low, intensity.high) == ("percentile", 1.0, 99.5)


@dataclass(frozen=True)
class Counting:
    """Reads noise, and remembers whose."""

    read: list[str] = field(default_factory=list, hash=False)

    def image(self, case: Case) -> Volume:
        self.read.append(case.name)
        return Volume(np.random.default_rng(len(self.read)).random((2, 4, 4)).astype(np.float32), np.eye(4))

    def labels(self, case: Case) -> LabelMap:
        return np.zeros((2, 4, 4), dtype=np.int32), np.eye(4)


@pytest.mark.parametrize(
    "count, looked_at",
    [
        (11, range(11)),
        (12, range(12)),
        (13, (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12)),
        (23, range(0, 23, 2)),
        (45, range(0, 45, 4)),
    ],
)
def test_at_most_twelve_cases_are_looked_at_for_a_plan_spread_over_all(count: int, looked_at: Sequence[int]) -> None:
    reader = Counting()
    cases = tuple(Case(f"c{number:02d}", Path("i"), None, f"g{number}", reader) for number in range(count))
    make_plan([Dataset(Path("D"), "D", "T1", "head", {1: "a"}, cases)], CONFIG)
    assert reader.read == [f"c{number:02d}" for number in looked_at]


@dataclass(frozen=True)
class HalfAir:
    """Air in one half, tissue of 0 to 100 HU in the other."""

    def image(self, case: Case) -> Volume:
        tissue = np.linspace(0.0, 100.0, 500)
        return Volume(np.concatenate([np.full(500, -1000.0), tissue]).reshape(10, 10, 10).astype(np.float32), np.eye(4))

    def labels(self, case: Case) -> LabelMap:
        raise AssertionError("there are no labels")


def test_without_labels_the_range_of_ct_values_is_that_of_what_is_not_air() -> None:
    dataset = Dataset(Path("D"), "D", "CT", "head", {}, (Case("c", Path("i"), None, "g", HalfAir()),))
    intensity = make_plan([dataset], CONFIG).tasks[0].profile.intensity
    # The middle 99 % are 0.5 to 99.5 HU, widened by half of 99 on both sides.
    assert (intensity.method, intensity.low, intensity.high) == ("range", -49.0, 149.0)


def test_four_hundred_voxels_of_a_label_are_remembered_or_all_of_fewer(tmp_path: Path) -> None:
    folder = BallDataset("A", shape=(12, 24, 24), patients=2, label_values=(3, 7)).write(tmp_path)
    plan = make_plan([read_dataset(folder)], CONFIG).tasks[0]
    found = prepare_cases(plan, plan.dataset.cases[:1], tmp_path / "cache")[0]
    sizes = {value: int((np.asarray(found.labels) == value).sum()) for value in (1, 2)}
    assert sizes[1] > 401
    assert sizes[2] < 399
    assert {value: len(points) for value, points in found.points.items()} == {1: 400, 2: sizes[2]}


SIZE = (4, 5, 6)


def volume(spacing_xyz_mm: tuple[float, float, float] = (2.0, 1.0, 4.0)) -> Volume:
    affine = np.diag([*spacing_xyz_mm, 1.0])
    affine[:3, 3] = (10.0, -20.0, 30.0)
    return Volume(np.zeros(SIZE, dtype=np.float32), affine)


def said(changed: np.ndarray) -> list[str]:
    """Which words name what differs between the image's grid and another one."""
    differences = grid_differences(volume(), np.zeros(SIZE, dtype=np.int32), changed)
    return [word for word in ("spacing", "axes", "origin") if any(word in text for text in differences)]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    "change, expected", [(0.0009, []), (0.0011, ["spacing"]), (-0.0009, []), (-0.0011, ["spacing"])]
)
def test_spacings_are_the_same_up_to_a_thousandth(axis: int, change: float, expected: list[str]) -> None:
    affine = volume().ijk_to_lps.copy()
    affine[:3, axis] *= 1 + change
    assert said(affine) == expected


@pytest.mark.parametrize("angle, expected", [(0.0009, []), (0.0011, ["axes"])])
def test_axes_are_the_same_up_to_a_thousandth_in_their_cosines(angle: float, expected: list[str]) -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = volume().ijk_to_lps.copy()
    affine[:3, :3] = turn[:3, :3] @ affine[:3, :3]
    assert said(affine) == expected


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift_mm, expected", [(0.049, []), (0.051, ["origin"]), (-0.051, ["origin"])])
def test_origins_are_the_same_up_to_a_twentieth_of_the_smallest_voxel_side(
    axis: int, shift_mm: float, expected: list[str]
) -> None:
    affine = volume().ijk_to_lps.copy()
    affine[axis, 3] += shift_mm
    assert said(affine) == expected


def test_a_case_stays_prepared_when_only_its_group_changes_and_not_when_its_labels_are_read_otherwise(
    tmp_path: Path,
) -> None:
    folder = BallDataset("A", shape=(4, 8, 8), patients=2, label_values=(3, 7)).write(tmp_path)
    plan = make_plan([read_dataset(folder)], CONFIG).tasks[0]
    case = plan.dataset.cases[0]
    prepare_cases(plan, [case], tmp_path / "cache")

    def files() -> int:
        return len(list((tmp_path / "cache").rglob(f"*{ENDING}")))

    prepare_cases(plan, [replace(case, group="other")], tmp_path / "cache")
    assert files() == 1
    swapped = prepare_cases(replace(plan, label_values=((7,), (3,))), [case], tmp_path / "cache")[0]
    assert files() == 2
    stored = case.read_labels()[0]
    np.testing.assert_array_equal(np.asarray(swapped.labels) == 1, stored == 7)
