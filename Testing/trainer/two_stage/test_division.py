"""Who trains, chooses and tests: no patient twice, the same test patients always, fewer labels among more."""

from __future__ import annotations

from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.data.dataset import Dataset
from trainer.layout.case import Case
from trainer.two_stage.division import Division, divide, unseen_images


def dataset(patients: int, name: str = "A", scans: int = 2) -> Dataset:
    cases = tuple(
        Case(f"{p:03d}_{s}", Path(f"{p}_{s}.png"), Path("x"), f"patient{p}")
        for p in range(patients)
        for s in range(scans)
    )
    return Dataset(Path(name), name, "X-ray", "chest", {1: "lung"}, cases)


def division(patients: int = 30, labelled: int | None = 6, seed: int = 0, **changes: object) -> Division:
    options = {"split_seed": 0, "test_fraction": 0.25, "validation_groups": 4} | changes
    return divide(dataset(patients), labelled, seed=seed, **options)  # type: ignore[arg-type]


def groups(cases: tuple[Case, ...]) -> set[str]:
    return {case.group for case in cases}


@pytest.mark.parametrize("seed", range(5))
def test_parts_share_no_patient_but_labelled_and_unlabelled_and_miss_no_case(seed: int) -> None:
    found = division(seed=seed)
    parts = (found.labelled, found.validation, found.unlabelled, found.test)
    names = [case.name for part in parts for case in part]
    assert sorted(names) == [case.name for case in dataset(30).cases]
    assert len(found.labelled) == 6
    assert len(groups(found.validation)) == 4
    choosing, testing = groups(found.validation), groups(found.test)
    assert not choosing & testing
    assert not (groups(found.labelled) | groups(found.unlabelled)) & (choosing | testing)


def test_test_patients_are_the_same_for_every_seed_and_number_of_labels() -> None:
    test = division().test
    assert all(division(seed=seed, labelled=count).test == test for seed in range(4) for count in (4, 9, None))
    assert any(division(split_seed=seed).test != test for seed in (1, 2, 3))


def test_fewer_labels_are_among_more_and_choosers_are_the_same() -> None:
    few, more = division(labelled=4), division(labelled=8)
    assert set(few.labelled) < set(more.labelled)
    assert few.validation == more.validation
    assert any(division(seed=seed).labelled != division().labelled for seed in (1, 2, 3))


def test_without_a_number_every_case_left_is_labelled() -> None:
    found = division(labelled=None)
    assert found.unlabelled == ()
    assert len(found.labelled) + len(found.validation) + len(found.test) == 60


def test_two_groups_beside_those_that_choose_are_just_enough() -> None:
    # Of 8 patients 2 test and 4 choose; of 7, as below, one would be left to train on.
    found = division(patients=8, labelled=None)
    assert [len(groups(part)) for part in (found.test, found.validation, found.labelled)] == [2, 4, 2]


def test_at_least_two_groups_test_however_small_their_share() -> None:
    assert len(groups(division(patients=12, test_fraction=0.01).test)) == 2
    assert len(groups(division(patients=12, test_fraction=0.25).test)) == 3


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labelled": 55}, "55 labelled cases are wanted"),
        ({"labelled": 2}, "fewer than two groups"),
        ({"patients": 7}, "too few groups"),
        ({"validation_groups": 25}, "too few groups"),
    ],
)
def test_a_dataset_that_is_too_small_is_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        division(**changes)  # type: ignore[arg-type]


def test_images_of_patients_that_choose_or_test_are_taken_out_of_other_datasets() -> None:
    found = division()
    (other,) = unseen_images([dataset(40, "B")], found)
    kept = {case.group for case in other.cases}
    assert kept == groups(dataset(40).cases) - groups(found.validation) - groups(found.test)
    assert other.labels == {}
    assert {case.label for case in other.cases} == {None}
