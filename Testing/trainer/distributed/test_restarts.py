"""A run that was restarted goes on with its own checkpoint, never with that of an earlier run at the same place."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.config import TrainingConfig
from trainer.data.planning import Plan
from trainer.distributed.ranks import ALONE, Alone, Ranks
from trainer.report.run_folder import RunFolder
from trainer.training.recipe import Recipe
from trainer.training.train_model import goes_on
from trainer.training.training import Budget, PreparedData, train

FIRST = {"agent 1 of today", "agent 2 of today"}


class Started(Alone):
    """The first of several processes."""

    world_size = 2

    def __init__(self, names: Collection[str] = (), may_go_on: bool = False) -> None:
        self.run_names, self.may_go_on = frozenset(names), may_go_on


def run_at(place: Path, ranks: Ranks = ALONE, words: str = "") -> RunFolder:
    """The folder after a run that was there, or none."""
    folder = RunFolder(place / "m.mts.safetensors")
    if words:
        goes_on(folder, False, ranks, io.StringIO())
        folder.checkpoint.write_text(words)
    return folder


def test_restarted_processes_go_on_whichever_of_those_who_started_them_has_the_first(tmp_path: Path) -> None:
    folder, told = run_at(tmp_path, Started(FIRST), "own"), io.StringIO()
    assert goes_on(folder, False, Started({"agent 2 of today", "agent 3 of today"}, may_go_on=True), told)
    assert folder.checkpoint.read_text() == "own"
    assert "restarted and goes on" in told.getvalue()


@pytest.mark.parametrize("earlier", [ALONE, Started({"agent 1 of yesterday"})], ids=["of one process", "of several"])
def test_processes_that_ended_before_they_had_begun_do_not_go_on_with_an_earlier_run(
    tmp_path: Path, earlier: Ranks
) -> None:
    folder = run_at(tmp_path, earlier, "of an earlier run")
    assert not goes_on(folder, False, Started(FIRST, may_go_on=True), io.StringIO())
    assert not folder.checkpoint.exists()


def test_the_same_who_start_processes_once_more_begin_anew_unless_they_are_asked_to_go_on(tmp_path: Path) -> None:
    folder = run_at(tmp_path, Started(FIRST), "own")
    assert goes_on(folder, True, Started(FIRST), io.StringIO())
    assert folder.checkpoint.exists()
    assert not goes_on(folder, False, Started(FIRST), io.StringIO())
    assert not folder.checkpoint.exists()


def test_a_run_of_one_process_between_them_is_not_taken_for_theirs(tmp_path: Path) -> None:
    run_at(tmp_path, Started(FIRST), "own")
    folder = run_at(tmp_path, ALONE, "of one process")
    assert not goes_on(folder, False, Started(FIRST, may_go_on=True), io.StringIO())


@pytest.mark.parametrize("recipe", [Recipe(frozen=lambda _: ("stems",)), Recipe(companions=(None,))])  # type: ignore[arg-type]
def test_what_is_not_shared_out_is_refused_in_several_processes(tmp_path: Path, recipe: Recipe) -> None:
    data, config = PreparedData(Plan((), None), (), ()), TrainingConfig(groups_per_step=2)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"runs in one process only\. Start it without torchrun"):
        train(
            data, config, Budget(steps=1), RunFolder(tmp_path / "m.mts.safetensors"),
            resume=False, device=torch.device("cpu"), recipe=recipe, ranks=Started(),
        )  # fmt: skip
