"""Two processes compute what one computes: gradients, order, draws; and they end together, with the reason named."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import MtsError
from Testing.trainer.distributed.processes import KILLED, run_together
from Testing.trainer.distributed.work import facts, fail, gradients, measured, seams, snapshots, train_with
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.distributed.ranks import ALONE
from trainer.report.run_folder import RunFolder
from trainer.training.run_lock import held

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends a signal")


@pytest.fixture(scope="module")
def together() -> list[dict[str, Any]]:
    """The facts by rank."""
    outcomes = run_together(facts)
    assert [name for name, _ in outcomes] == ["", ""], outcomes
    return [made for _, made in outcomes]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    first = BallDataset("A", shape=(2, 8, 8), patients=5, label_values=(1, 2))
    return [first.write(tmp_path), BallDataset("B", shape=(2, 8, 8), patients=5, region="chest").write(tmp_path)]


def test_gradients_and_weights_of_two_processes_are_those_of_one_also_when_the_groups_are_shared_unevenly(
    together: list[dict[str, Any]],
) -> None:
    alone = gradients(ALONE)
    for made in (own["steps"] for own in together):
        assert made["losses"] == pytest.approx(alone["losses"], abs=1e-5)
        for ours, theirs in zip(made["gradients"], alone["gradients"], strict=True):
            assert ours.keys() == theirs.keys()
            worst = max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)
            assert worst < 1e-5
    assert max(float(np.abs(g).max()) for g in alone["gradients"][0].values()) > 1e-2, "gradients of nothing"


def test_what_has_no_part_in_a_step_has_no_gradient_in_any_process(together: list[dict[str, Any]]) -> None:
    untouched = gradients(ALONE)["untouched"]
    assert all(any(name.startswith("stems") for name in names) == (step == 0) for step, names in enumerate(untouched))
    assert [made["steps"]["untouched"] for made in together] == [untouched, untouched]


def test_all_processes_have_the_same_weights_to_the_bit(together: list[dict[str, Any]]) -> None:
    first, second = (made["steps"]["weights"] for made in together)
    assert all(map(np.array_equal, first, second))


def test_what_is_gathered_and_drawn_is_in_the_order_of_one_process(together: list[dict[str, Any]]) -> None:
    alone = seams(ALONE)
    assert alone["each"] == list("ABCDE")
    for made in (own["seams"] for own in together):
        # Both were started by this one.
        assert made == alone | {"total": 3.0, "agreed": "of 0", "names": together[0]["seams"]["names"]}
        assert [name.partition(" ")[0] for name in made["names"]] == [socket.gethostname()]


def test_all_processes_know_the_snapshots_that_the_first_one_writes(folders: list[Path], tmp_path: Path) -> None:
    outcomes = run_together(snapshots, 2, folders, tmp_path / "m.mts.safetensors")
    assert [name for name, _ in outcomes] == ["", ""], outcomes
    first, second = (made for _, made in outcomes)
    assert [own["written"] for own in (first, second)] == [[1, 2], []]
    assert first["members"] == second["members"]
    assert [step for _, step, _ in first["members"]] == [2, 4]
    assert first["weights"] == second["weights"]


def test_a_loss_that_is_not_finite_in_one_process_stops_all_with_the_same_words(
    together: list[dict[str, Any]],
) -> None:
    (first, kept), (second, also_kept) = (made["not finite"] for made in together)
    assert first == second
    assert first.startswith("the loss became nan at step 0")
    assert kept
    assert also_kept


def test_validation_temperatures_and_what_the_check_remembers_are_the_same_to_the_bit(
    folders: list[Path], tmp_path: Path
) -> None:
    outcomes = run_together(measured, 2, folders, tmp_path / "m.mts.safetensors")
    assert [name for name, _ in outcomes] == ["", ""], outcomes
    (_, first), (_, second) = outcomes
    assert first["alone"]["images"]
    _require_equal(first["all"], first["alone"])
    assert second["all"]["dice"] == first["all"]["dice"]
    assert second["all"]["figures"] == first["all"]["figures"]
    assert not second["all"]["images"], "only the first process keeps what is found"


def _require_equal(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        pairs: Any = ((ours[key], theirs[key]) for key in ours)
    elif isinstance(ours, (list, tuple)):
        pairs = zip(ours, theirs, strict=True)
    elif hasattr(ours, "__dataclass_fields__"):
        pairs = ((getattr(ours, name), getattr(theirs, name)) for name in ours.__dataclass_fields__)
    elif isinstance(ours, (np.ndarray, torch.Tensor)):
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))
        return
    else:
        assert ours == theirs
        return
    for own, other in pairs:
        _require_equal(own, other)


@pytest.mark.parametrize(
    "how, first, second",
    [
        (
            "error",
            ("ResourceError", "process 1 of the training has failed: a label map is damaged: b.nii.gz. The same"),
            ("DatasetError", "a label map is damaged: b.nii.gz."),
        ),
        ("kill", ("ResourceError", "another process of the training has ended without a word"), (KILLED, "")),
        ("ask", ("KeyboardInterrupt", ""), ("SystemExit", "130")),
        ("sleep", ("ResourceError", "another process of the training has not answered for 0.05 min"), (KILLED, "")),
    ],
)
def test_a_process_that_does_not_do_its_part_ends_the_others_with_the_reason(
    how: str, first: tuple[str, str], second: tuple[str, str]
) -> None:
    outcomes = run_together(fail, 2, how, environment={"MULTITASKSEG_PATIENCE_MINUTES": "0.05"})
    assert outcomes[0][0] == first[0]
    assert outcomes[0][1].startswith(first[1])
    if how != "sleep":
        assert outcomes[1] == second


@pytest.mark.parametrize(
    "changes, rank, words",
    [
        (
            {"learning_rate": 1.0},
            1,
            "process 1 is not of the same run as process 0: learning_rate was 0.002",
        ),
        ({"validations": 3}, 1, "process 1 is not of the same run as process 0: config is "),
        ({"other machine": True}, 0, "process 1 of the training has failed: the dataset folder is missing"),
        ({"groups_per_step": 1}, 0, "groups_per_step is 1, fewer than the 2 processes. Set it to a multiple of 2"),
    ],
)
def test_processes_with_other_settings_or_nothing_to_do_are_refused(
    folders: list[Path], tmp_path: Path, changes: dict[str, Any], rank: int, words: str
) -> None:
    output = tmp_path / "m.mts.safetensors"
    RunFolder(output).checkpoint.write_text("of an earlier run")
    outcomes = run_together(train_with, 2, folders, output, changes)
    assert outcomes[rank][1].startswith(words), outcomes
    # Settings are compared when the data are known; whether these are there is seen before.
    assert RunFolder(output).checkpoint.exists() == ("other machine" in changes)


def test_a_training_in_several_processes_at_an_output_that_is_taken_is_refused_and_all_of_them_end(
    folders: list[Path], tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "m.mts.safetensors")
    folder.checkpoint.write_text("of the first")
    with held(folder.path):
        outcomes = run_together(train_with, 2, folders, tmp_path / "m.mts.safetensors", {})
    assert outcomes[0][0] == "FolderIsHeld"
    assert outcomes[0][1].startswith(f"process {os.getpid()} on {socket.gethostname()} (since ")
    assert outcomes[1] == ("SystemExit", str(MtsError.exit_code)), "the others learn of it"
    assert folder.checkpoint.read_text() == "of the first"
