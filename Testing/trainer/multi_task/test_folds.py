"""Cross-validation of a multi-task experiment: every patient is tested once, by networks that have not seen them."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from Testing.trainer.multi_task.test_findings import case, cell_of
from Testing.trainer.multi_task.tiny_study import CT, DATASETS, FLAIR, T1, ULTRASOUND, write_config, write_data
from trainer.cli import main
from trainer.config import TrainingConfig
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.provenance import Provenance
from trainer.data.split import split_datasets
from trainer.layout.case import Case
from trainer.multi_task import steps
from trainer.multi_task.cell import FIGURES, figure
from trainer.multi_task.design import Design
from trainer.multi_task.division import divide, largest_other
from trainer.multi_task.findings import _cells, _peers
from trainer.multi_task.settings import ArmSettings, MultiTaskPlan, MultiTaskSettings, read_multi_task
from trainer.multi_task.wording import peer_rows

FOLDS = 3
SETTINGS = MultiTaskSettings(("A", "B"), folds=FOLDS)
TWO_ARMS = """
[[multi_task.arms]]
name = "joint"
kind = "joint"

[[multi_task.arms]]
name = "dedicated"
kind = "dedicated"
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    write_data(folder / "data")
    return folder


def dataset_of(name: str, first: int, end: int) -> Dataset:
    """Of the patients with numbers from the first to before the end, one image each."""
    cases = (Case(f"{number}", Path("image"), Path("label"), f"patient_{number}") for number in range(first, end))
    return Dataset(Path(name), name, "CT", "head", {1: "ball"}, tuple(cases))


def plan_of(root: Path, *, spare: bool, folds: int = FOLDS) -> MultiTaskPlan:
    more = f"folds = {folds}\nspare_held_out = {str(spare).lower()}"
    return read_multi_task(write_config(root / f"{folds}-{spare}.toml", arms="", more=more))


@pytest.mark.parametrize("spare", [False, True])
def test_every_patient_who_is_not_spared_is_tested_in_one_fold_whichever_datasets_show_them(
    root: Path, spare: bool
) -> None:
    divisions = Design(plan_of(root, spare=spare)).divisions
    assert len(divisions) == FOLDS
    spared = divisions[0].spared
    assert bool(spared) == spare
    for name in DATASETS:
        groups = set(read_dataset(root / "data" / name).groups)
        tested = [division.tested[name] for division in divisions]
        assert sorted(group for fold in tested for group in fold) == sorted(groups - spared)
        if name in (ULTRASOUND, CT):
            assert max(map(len, tested)) - min(map(len, tested)) <= 1
    for division in divisions:
        shared = set(division.datasets[T1].groups) & set(division.datasets[FLAIR].groups)
        assert division.tested[T1] & shared == division.tested[FLAIR] & shared


def test_spared_are_those_whom_a_training_with_the_same_settings_holds_out(root: Path) -> None:
    plan = plan_of(root, spare=True)
    training = plan.training
    held_out = split_datasets(
        [read_dataset(root / "data" / name) for name in DATASETS],
        fraction=training.validation_fraction,
        minimum_groups=training.minimum_validation_groups,
        seed=training.split_seed,
    )
    wanted = {case.group for split in held_out.values() for case in split.held_out}
    assert Design(plan).divisions[0].spared == wanted


@pytest.mark.parametrize("spare", [False, True])
def test_no_training_of_any_arm_sees_a_patient_of_its_fold_or_one_who_is_spared(root: Path, spare: bool) -> None:
    design = Design(plan_of(root, spare=spare))
    runs = {run.name: run for run in design.runs}
    assert {name.rpartition(".f")[2] for name in runs} == {str(fold) for fold in range(FOLDS)}
    for fold, division in enumerate(design.divisions):
        kept = division.spared | {group for tested in division.tested.values() for group in tested}
        for name in [name for name in runs if name.endswith(f".f{fold}")]:
            # What a network is fine-tuned from is of the same fold.
            assert all(need.endswith(f".f{fold}") for need in runs[name].needs)
            parameters = runs[name].parameters
            for data, hidden in zip(parameters["data"], parameters["hidden_groups"], strict=True):
                seen = set(read_dataset(Path(data)).groups) - set(hidden)
                assert len(seen) >= 3
                assert not seen & kept
            for measured in parameters["measured"]:
                assert set(measured["groups"]) == division.tested[Path(measured["data"]).name]


def test_patients_to_learn_from_are_counted_in_the_fold_that_has_the_fewest(root: Path) -> None:
    design = Design(plan_of(root, spare=False))
    assert design.free(ULTRASOUND) == 11 - 4
    assert len(design.tested(ULTRASOUND)) == 11


def test_a_dataset_that_is_too_small_for_so_many_folds_is_refused(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"RingCT has 9 groups: too few .* in each of 10 folds.*fewer folds"):
        Design(plan_of(root, spare=False, folds=10))
    with pytest.raises(DatasetError, match=r"has \d+ groups, of which \d are spared: too few"):
        Design(plan_of(root, spare=True, folds=9))


@pytest.mark.parametrize(
    "more, says",
    [
        ("folds = 1", "folds is 1"),
        ("folds = -2", "negative"),
        ("spare_held_out = true", "needs folds"),
        ("folds = 3\ntest_fraction = 0.2", "no effect with folds"),
        ("folds = 3\nminimum_test_groups = 2", "no effect with folds"),
    ],
)
def test_folds_that_are_none_are_refused(root: Path, more: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_multi_task(write_config(root / "wrong.toml", more=more))


@pytest.mark.parametrize("key", ["split_seed", "validation_fraction", "minimum_validation_groups"])
def test_no_arm_may_be_of_a_training_that_holds_out_others_than_those_who_are_spared(root: Path, key: str) -> None:
    arm = f"{TWO_ARMS}numbers = {{ {key} = {0.5 if 'fraction' in key else 5} }}\n"
    with pytest.raises(UsageError, match=f"spare_held_out, and {key} in numbers of arm dedicated"):
        read_multi_task(write_config(root / "split.toml", arms=arm, more="folds = 3\nspare_held_out = true"))
    # Where nobody is spared nothing is promised about whom a training holds out.
    read_multi_task(write_config(root / "split.toml", arms=arm, more="folds = 3"))


@pytest.mark.parametrize("size", [7, 9, 12])
def test_datasets_that_share_patients_in_a_chain_are_divided_evenly_each(size: int) -> None:
    for first in range(1, size):
        # The second begins with patients of the first; the others show patients of both.
        end = first + size
        ranges = {"A": (0, size), "B": (first, end), "C": (max(1, first - 2), end), "D": (0, end)}
        datasets = [dataset_of(name, *numbers) for name, numbers in ranges.items()]
        divisions = divide(datasets, SETTINGS, TrainingConfig())
        for name in ranges:
            sizes = [len(division.tested[name]) for division in divisions]
            assert max(sizes) - min(sizes) <= 1, (first, name)


def test_a_transfer_from_the_largest_other_dataset_is_from_the_same_one_in_every_fold() -> None:
    datasets = [dataset_of("A", 0, 11), dataset_of("B", 20, 30), dataset_of("T", 40, 49)]
    divisions = divide(datasets, SETTINGS, TrainingConfig())
    # In one of the folds there are as many to train on in B, which comes later.
    assert [len(one.labelled("A", 0, 0)) - len(one.labelled("B", 0, 0)) for one in divisions] == [1, 0, 1]
    assert largest_other(divisions, "T") == "A"


def test_sources_of_transfers_are_the_same_datasets_in_every_fold(root: Path) -> None:
    sources: dict[str, set[str]] = defaultdict(set)
    for run in Design(plan_of(root, spare=False)).runs:
        for need in run.needs:
            sources[run.name.rpartition(".")[0]].add(need.rpartition(".")[0])
    assert sources
    assert all(len(found) == 1 for found in sources.values())


def test_trainings_of_nnunet_are_told_by_fold() -> None:
    arms = (ArmSettings("joint", "joint"), ArmSettings("dedicated", "dedicated"), ArmSettings("nnunet", "nnunet"))
    plan: Any = SimpleNamespace(
        settings=MultiTaskSettings(("D", "E"), labelled_groups=(0,), seeds=(0,), arms=arms, folds=2)
    )
    design: Any = SimpleNamespace(datasets_of=lambda arm: ["D"], runs_of=lambda arm, name, count, seed: ["f0", "f1"])
    told = {"budget_cpu_s": 2.0, "cpu_s": 3.0, "steps": 1, "patch": [8, 8], "batch": 2, "preparation_cpu_s": 1.0}
    found = {"peers": _peers(plan, design, {run: {"training": told} for run in ("f0", "f1")})}
    headers, rows = peer_rows({**found, "folds": 2}, {"labelled_groups": 0})
    assert [row[headers.index("Fold")] for row in rows] == [0, 1]
    assert {len(row) for row in rows} == {len(headers)}
    headers, rows = peer_rows(found, {"labelled_groups": 0})
    assert "Fold" not in headers
    assert {len(row) for row in rows} == {len(headers)}


def test_cases_of_two_folds_have_the_figures_of_all_cases_together() -> None:
    cases = [case(group, {"a": dice}, lesions=(2, 1, 3, 1)) for group, dice in (("p", 0.1), ("q", 0.5), ("r", 0.9))]
    whole = cell_of({0: cases, 4: cases[::-1]})
    joined = cell_of({0: cases[:1], 4: cases[2:]}).joined(cell_of({0: cases[1:], 4: cases[1::-1]}))
    assert len(joined.groups) == 3
    weights = np.ones((1, 3))
    for name in FIGURES:
        np.testing.assert_allclose(figure(joined, name, weights), figure(whole, name, weights))


def test_a_seed_that_lacks_a_fold_counts_for_nothing() -> None:
    arms = (ArmSettings("joint", "joint"), ArmSettings("dedicated", "dedicated"))
    settings = MultiTaskSettings(("D", "E"), labelled_groups=(0,), seeds=(0, 1), arms=arms, folds=2)
    design: Any = SimpleNamespace(
        divisions=(None, None),
        datasets_of=lambda arm: ["D"],
        runs_of=lambda arm, name, count, seed: [f"{arm.name}.{seed}.{fold}" for fold in (0, 1)],
    )
    done = {"datasets": {"D": [case("p", {"a": 0.5})]}, "foreign": []}
    metrics = {f"joint.{seed}.{fold}": done for seed in (0, 1) for fold in (0, 1)} | {"dedicated.0.1": done}
    del metrics["joint.1.0"]
    plan: Any = SimpleNamespace(settings=settings)
    cells = _cells(plan, design, metrics)
    assert list(cells) == [(0, "D", "joint")]
    assert cells[0, "D", "joint"].seeds == (0,)


def test_a_whole_cross_validation_tests_every_patient_once_and_says_so(root: Path) -> None:
    more = "folds = 2\nspare_held_out = true"
    config = write_config(root / "whole.toml", arms=TWO_ARMS, seeds="[0]", labelled="[0]", data=(FLAIR, CT), more=more)
    out = root / "out"
    words = ["experiment", "multi-task", "--config", str(config), "-o", str(out), "--publish", str(root / "docs")]
    status = main(words)
    found = json.loads((out / "metrics.json").read_text())
    assert (status, found["failures"], found["picture_failures"]) == (0, {}, {})
    spared = Design(read_multi_task(config)).divisions[0].spared
    for row in found["regimes"][0]["rows"]:
        patients = set(read_dataset(root / "data" / row["dataset"]).groups) - spared
        assert (row["cases"], row["patients"]) == (len(patients), len(patients))
    for run in Design(read_multi_task(config)).runs:
        (model,) = (out / "runs").glob(f"{run.name}*/{steps.MODEL}")
        provenance = Provenance.of(read_manifest(model)[0])
        kept = {group for measured in run.parameters["measured"] for group in measured["groups"]} | spared
        assert not any(provenance.saw(group) for group in kept)
    for page in (out / "report.html", root / "docs" / "multi-task.md"):
        assert "Cross-validation of 2 folds. Patients whom a training with these settings holds out" in page.read_text()
    text = (out / "report.html").read_text()
    # Counted as in the names of runs.
    assert all(run.name.endswith((".f0", ".f1")) for run in Design(read_multi_task(config)).runs)
    assert ", fold 0: best, " in text
    assert "What the arms cost, measured, all 2 folds together" in text
    # It is no failure.
    assert '<p class="bad">Cross-validation' not in text
