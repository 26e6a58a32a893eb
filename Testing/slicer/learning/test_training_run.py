"""A training in a process of its own: what is asked, told and left, and that cancelling leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from MultiTaskSegLib.learning import shared_training, trainer_python
from MultiTaskSegLib.learning.trainer_python import GUARD, TrainerPython, find_trainer
from MultiTaskSegLib.learning.training_request import TrainingRequest
from MultiTaskSegLib.learning.training_run import TrainingRun
from MultiTaskSegLib.runtime.errors import Cancelled, ModelError, ResourceError, UsageError
from MultiTaskSegLib.runtime.model.file_header import header_manifest

REQUEST = TrainingRequest((Path("d"),), "my model", minutes=2)


def wait_for(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_new_model_appears_among_the_user_s_with_its_report_and_nothing_else_is_left(models, fake_trainer, scratch):
    run = TrainingRun(REQUEST, fake_trainer("good"), models)
    path = run.result()
    assert path == models / "my model.mts.safetensors"
    assert header_manifest(path)["tasks"]
    left = {str(one.relative_to(models)) for one in models.rglob("*")}
    kept = ("report.html", "metrics.jsonl", "config.json")
    assert left == {path.name, "my model.run", *(f"my model.run/{name}" for name in kept)}
    # A short way, for the names of sockets, and nothing left in it.
    assert Path((run.run_folder / "config.json").read_text()).parent == scratch
    assert list(scratch.iterdir()) == []
    assert run.progress.fraction == 0.25
    assert run.progress.eta_s == 65.0
    assert run.dice == [{"Dataset1": 0.5}]  # also after the move, and without the line that is not whole


def test_a_second_model_of_the_name_gets_a_number(models, fake_trainer):
    names = [TrainingRun(REQUEST, fake_trainer("good"), models, ("mr3d",)).result().name for _ in range(2)]
    assert names == ["my model.mts.safetensors", "my model_2.mts.safetensors"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (REQUEST, ["train", "--data", "d", "--output", "o", "--minutes", "2"]),
        (
            TrainingRequest((Path("a"), Path("b")), "n", Path("m"), steps=7, config=Path("c")),
            ["finetune", "--model", "m", "--data", "a", "b", "--output", "o", "--config", "c", "--steps", "7"],
        ),
    ],
)
def test_the_trainer_understands_what_it_is_asked(request_, words):
    from trainer.cli import make_parser

    arguments = request_.arguments(Path("o"))
    assert arguments == ["-m", "trainer", *words]
    parsed = make_parser().parse_args(arguments[2:])
    assert parsed.data == list(request_.datasets)
    assert parsed.output == Path("o")


def test_what_cannot_be_trained_is_refused_before_anything_is_started(models, fake_trainer):
    for request, words in (
        (TrainingRequest((), "n"), "no dataset"),
        (TrainingRequest((Path("d"),), "n", minutes=0), "0 min"),
    ):
        with pytest.raises(UsageError, match=words):
            TrainingRun(request, fake_trainer("good"), models)
    with pytest.raises(ResourceError, match="cannot be started"):
        TrainingRun(REQUEST, TrainerPython("/nowhere/python"), models)
    assert list(models.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_cancelling_is_done_in_two_seconds_and_leaves_neither_processes_nor_files(
    models, fake_trainer, tmp_path, scratch
):
    run = TrainingRun(REQUEST, fake_trainer("slow"), models)
    noted = tmp_path / "child.txt"
    assert wait_for(lambda: noted.is_file() and noted.read_text() != "")
    child = int(noted.read_text())
    assert wait_for(lambda: run.progress.fraction == 0.25)
    began_s = time.monotonic()
    run.cancel()
    assert time.monotonic() - began_s < 2.0
    assert wait_for(lambda: not is_running(child), 2.0)
    with pytest.raises(Cancelled):
        run.result()
    assert [*models.iterdir(), *scratch.iterdir()] == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_when_the_application_is_killed_the_training_ends_too(fake_trainer, tmp_path):
    python = fake_trainer("slow")
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            "guard = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)\n"
            "time.sleep(600)",
            *[python.executable, str(GUARD), "-m", "trainer", "--output", str(tmp_path / "m.mts.safetensors")],
        ],
        env=python.environment(),
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    noted = tmp_path / "child.txt"
    was_there = wait_for(lambda: noted.is_file() and noted.read_text() != "")
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert was_there
    child = int(noted.read_text())
    assert wait_for(lambda: not is_running(child), 5.0)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("refuse", "dataset X has too few groups: X. Add patients"), ("crash", "the planted fault")],
)
def test_a_training_that_fails_says_why_in_the_trainer_s_words(models, fake_trainer, behaviour, words):
    run = TrainingRun(REQUEST, fake_trainer(behaviour), models)
    with pytest.raises(ResourceError, match=words):
        run.result()
    assert list(models.iterdir()) == []


def test_a_file_that_is_no_model_does_not_come_among_the_models(models, fake_trainer):
    run = TrainingRun(REQUEST, fake_trainer("rubbish"), models)
    with pytest.raises(ModelError):
        run.result()
    assert list(models.iterdir()) == []


def test_there_is_one_training_at_a_time_and_it_is_found_again(models, fake_trainer):
    run = shared_training.start_shared(REQUEST, fake_trainer("slow"))
    assert shared_training.current_training() is run
    with pytest.raises(UsageError, match="under way"):
        shared_training.start_shared(REQUEST, fake_trainer("good"))
    run.cancel()
    assert shared_training.start_shared(REQUEST, fake_trainer("good")).result().is_file()


def test_old_leftovers_go_and_those_of_a_training_that_goes_on_stay(models, fake_trainer):
    old, young = models / ".training-old", models / ".training-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "part").touch()
        for path in (folder / "part", folder):
            os.utime(path, (1, 1))
    (young / "part").touch()
    TrainingRun(REQUEST, fake_trainer("good"), models).result()
    assert not old.exists()
    assert young.exists()


def test_a_python_says_what_it_lacks(fake_trainer, tmp_path, monkeypatch):
    fake_trainer("good")
    own = find_trainer()
    assert "trainer" not in own.missing
    assert own.is_own
    assert own.source == find_trainer(str(trainer_python.CHECKOUT)).source == trainer_python.CHECKOUT
    ways = own.environment()["PYTHONPATH"].split(os.pathsep)
    assert ways[:2] == [str(own.source), str(own.source / "MultiTaskSeg")]
    monkeypatch.setattr(trainer_python, "CHECKOUT", tmp_path)  # as in a packaged extension
    assert find_trainer().source is None
    assert "trainer" not in find_trainer().missing  # the one that is installed
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    other = find_trainer(str(bare))
    assert not other.is_own
    assert not other.is_ready
    assert {"trainer", "torch", "sklearn"} <= set(other.missing)  # Slicer's PYTHONPATH does not lead it astray
    assert "PYTHONPATH" not in other.environment()
    for chosen, words in ((tmp_path / "no", "no Python"), (GUARD, "cannot be asked|does not run")):
        with pytest.raises(ResourceError, match=words):
            find_trainer(str(chosen))
    monkeypatch.setattr(trainer_python, "python_executable", lambda: str(bare / "bin" / "python3"))
    assert find_trainer().is_own
