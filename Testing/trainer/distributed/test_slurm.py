"""Tasks of srun without torchrun are the processes of one training; a single task is a training of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.trainer.distributed.test_torchrun import CONFIG, NAMES, environment, free_port
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.distributed.joining import _meeting_place
from trainer.distributed.slurm import with_slurm_places

TOO_LONG_S = 300.0
STEP = {"SLURM_JOB_ID": "4712345", "SLURM_STEP_ID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2"}
TASK = {**STEP, "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_NODELIST": "gpu[07-08]"}


def places(variables: Mapping[str, str]) -> dict[str, str]:
    """What is told beside the variables."""
    return {name: value for name, value in with_slurm_places(variables).items() if variables.get(name) != value}


def test_a_task_of_several_has_its_place_from_slurms_variables() -> None:
    assert places(TASK) == {
        "RANK": "3",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "gpu07",
        "MASTER_PORT": str(15_000 + (4712345 + 303) % 10_000),
        "TORCHELASTIC_RUN_ID": "slurm job 4712345 step 3",
    }
    assert places({**TASK, "SLURM_STEP_NUM_NODES": "1"})["MASTER_ADDR"] == "127.0.0.1"
    assert places({**TASK, "SLURM_GPUS_PER_TASK": "1"})["LOCAL_RANK"] == "0", "it sees its own card alone"
    given = places({**TASK, "MASTER_ADDR": "head", "MASTER_PORT": "5"})
    assert not given.keys() & {"MASTER_ADDR", "MASTER_PORT"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
        {**TASK, "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "4"},
        {**TASK, "SLURM_STEP_ID": "4294967290", "SLURM_PROCID": "0"},
        {**TASK, "RANK": "0", "WORLD_SIZE": "8", "MASTER_ADDR": "head", "MASTER_PORT": "5"},
    ],
    ids=["no Slurm", "the script of sbatch", "one task", "a shell of salloc for several tasks", "torchrun under srun"],
)
def test_everything_else_is_left_as_it_is(variables: dict[str, str]) -> None:
    assert places(variables) == {}


@pytest.mark.parametrize(
    ("missing", "words"), [("SLURM_STEP_ID", "in which step"), ("SLURM_STEP_NODELIST", "machines")]
)
def test_tasks_that_cannot_know_where_to_meet_are_refused_with_what_to_do(missing: str, words: str) -> None:
    with pytest.raises(UsageError, match=rf"{words}.*(torchrun|MASTER_ADDR)"):
        with_slurm_places({name: value for name, value in TASK.items() if name != missing})


def test_tasks_meet_at_an_address_of_ipv6_too() -> None:
    given = with_slurm_places({**TASK, "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "MASTER_ADDR": "::1"})
    place = urlparse(_meeting_place({**given, "MASTER_PORT": "29500"}))
    assert (place.hostname, place.port) == ("::1", 29500)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset and a configuration."""
    place = tmp_path_factory.mktemp("place")
    BallDataset(NAMES[0], shape=(2, 8, 8), patients=5).write(place)
    (place / "large.toml").write_text(CONFIG)
    return place


def tasks(place: Path, outputs: list[str], **variables: str) -> list[tuple[int, str, str]]:
    """By task, exit status and what it says, of one step on this machine."""
    step = {**STEP, "SLURM_STEP_NUM_TASKS": str(len(outputs)), "SLURM_STEP_NUM_NODES": "1"}
    step |= {"MASTER_PORT": str(free_port()), "MULTITASKSEG_PATIENCE_MINUTES": "2", **variables}
    train = [sys.executable, "-m", "trainer", "train", "--data", NAMES[0], "--config", "large.toml", "--steps", "2"]
    started = [
        subprocess.Popen(
            [*train, "-o", output],
            cwd=place,
            env=environment(**step, SLURM_PROCID=str(number), SLURM_LOCALID=str(number)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, output in enumerate(outputs)
    ]
    said = [one.communicate(timeout=TOO_LONG_S) for one in started]
    return [(one.returncode, *words) for one, words in zip(started, said, strict=True)]


@pytest.mark.skipif(os.name == "nt", reason="there is no Slurm")
def test_the_tasks_of_a_step_train_one_model_together_which_one_of_them_writes(place: Path) -> None:
    first, second = tasks(place, ["m.mts.safetensors"] * 2)
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert "waiting for 2 processes at 127.0.0.1:" in first[2]
    assert "model: m.mts.safetensors" in first[1]
    assert second[1] == ""
    assert load_model(place / "m.mts.safetensors").manifest.training["steps"] == 2
    assert (place / "m.run" / "run_id.txt").read_text() == "slurm job 4712345 step 3\n"


@pytest.mark.skipif(os.name == "nt", reason="there is no Slurm")
def test_tasks_with_outputs_of_their_own_are_not_taken_for_one_training(place: Path) -> None:
    first, second = tasks(place, ["a.mts.safetensors", "b.mts.safetensors"])
    assert (first[0], second[0]) == (4, 2), (first, second)
    assert "process 1 writes to another output than process 0" in second[2]
    assert "env -u SLURM_STEP_NUM_TASKS" in second[2]
    assert not list(place.glob("[ab].mts.safetensors"))
