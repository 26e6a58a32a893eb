"""Two trainings at one output: the second is refused before anything of the first is touched."""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.machine import folder_lock
from MultiTaskSegLib.runtime.machine.folder_lock import FolderIsHeld, FolderLock
from Testing.trainer.pretraining.tiny_run import BALLS, CONFIG
from trainer import cli
from trainer.demo.demo import run_demo
from trainer.distributed.ranks import Alone, Found
from trainer.pretraining.finetune import finetune
from trainer.pretraining.pretrain import pretrain
from trainer.report.run_folder import LOCK_FILE, RunFolder
from trainer.training import run_lock
from trainer.training.run_lock import held, run_held
from trainer.training.train_model import train_model
from trainer.training.training import Budget

MODEL = "m.mts.safetensors"
BALL = BALLS["2-D"]
STEP = Budget(steps=1)
KINDS: dict[str, Callable[[Path, Path, bool], object]] = {
    "train": lambda data, model, resume: train_model([data], model, CONFIG, STEP, resume=resume),
    "finetune": lambda data, model, resume: finetune(None, [data], model, CONFIG, STEP, resume=resume),
    "pretrain": lambda data, model, resume: pretrain(
        [data], model, "self-supervised", CONFIG, STEP, pretexts=["denoising"], resume=resume
    ),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset."""
    return BALL.write(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("resume", [False, True], ids=["anew", "resumed"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_second_training_is_refused_and_leaves_the_first_ones_files_alone(
    kind: str, resume: bool, data: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / MODEL)
    folder.checkpoint.write_text("of the first")
    with (
        held(folder.path),
        pytest.raises(FolderIsHeld, match=rf"process {os.getpid()} on .* is at work on this training"),
    ):
        KINDS[kind](data, tmp_path / MODEL, resume)
    assert sorted(entry.name for entry in folder.path.iterdir()) == [LOCK_FILE, "checkpoint.pt"]
    assert folder.checkpoint.read_text() == "of the first"


def test_the_lock_is_let_go_when_a_training_is_done_fails_or_is_interrupted(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / MODEL)
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error), run_held(folder, stream=io.StringIO()):
            raise error
    with run_held(folder, stream=(told := io.StringIO())):
        pass
    assert told.getvalue() == ""


def test_who_was_killed_is_named_by_the_training_that_takes_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / MODEL)
    (folder.path / LOCK_FILE).write_text("process 7 on pc4 (since 2026-01-02 03:04)")
    with run_held(folder, stream=(told := io.StringIO())):
        pass
    assert told.getvalue() == (
        "note: process 7 on pc4 (since 2026-01-02 03:04) was at work on this training and ended without a word; "
        "it is taken over\n"
    )


def test_a_file_system_without_locks_keeps_nobody_from_training_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def knows_none(_file: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(folder_lock, "_lock", knows_none)
    with held(tmp_path, stream=(told := io.StringIO())), held(tmp_path, stream=(told_second := io.StringIO())):
        pass
    assert "knows no locks: see to it that nothing else writes to this output\n" in told.getvalue()
    assert f"to this output, as process {os.getpid()} on " in told_second.getvalue()
    assert "taken over" not in told_second.getvalue(), "it may be at work"


class Second(Alone):
    """Another process than the first one, which has said where it writes."""

    rank = 1

    def __init__(self, told: tuple[str, tuple[str, int]]) -> None:
        self.told: Any = told

    def agreed(self, make: Callable[[], Found]) -> Found:
        """What the first process has said."""
        make()
        return cast(Found, self.told)


def test_outputs_of_one_name_in_two_working_directories_are_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        folder = RunFolder(Path(MODEL))
        told.append((str(folder.path.resolve()), (str(folder.path), folder.path.stat().st_ino)))
    with pytest.raises(UsageError, match=r"process 1 writes to another output than process 0, .*first"):
        run_lock._require_one_output(folder.path, Second(told[0]))
    run_lock._require_one_output(folder.path, Second(told[1]))
    run_lock._require_one_output(folder.path.resolve(), Second(told[1]))
    run_lock._require_one_output(folder.path, Second(("/on/another/machine", told[1][1])))  # by another path
    other = ("/on/another/machine", ("other.run", told[1][1][1]))  # numbers of two disks may be the same by chance
    with pytest.raises(UsageError):
        run_lock._require_one_output(folder.path, Second(other))


class Restarted(Alone):
    """The first process of a run that was started again."""

    may_go_on, run_names = True, frozenset({"job 7"})


@pytest.mark.parametrize(("name", "is_patient"), [("job 7", True), ("job 8", False)])
def test_a_run_that_was_restarted_waits_for_its_own_former_processes_alone(
    name: str, is_patient: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, told = RunFolder(tmp_path / MODEL), io.StringIO()
    folder.keep_run_names([name])
    former = [FolderLock(folder.path, LOCK_FILE, "this training")]
    monkeypatch.setattr(run_lock.time, "sleep", lambda _s: former.pop().release())
    if is_patient:
        with run_held(folder, Restarted(), told):
            assert "as this is a restart, it is waited for, 150 s at most" in told.getvalue()
    else:
        with pytest.raises(FolderIsHeld), run_held(folder, Restarted(), told):
            pass
        former.pop().release()


def test_a_second_demo_is_refused_before_it_removes_what_the_first_has_made(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{}")
    (tmp_path / "data").mkdir()
    with held(tmp_path), pytest.raises(FolderIsHeld, match="is at work on this demo"):
        run_demo(tmp_path, stream=io.StringIO(), output=io.StringIO())
    assert (tmp_path / "data").is_dir()


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["transfer", "--config", "c.toml", "-o", "out"], "out"),
        (["experiment", "multi-task", "--config", "c.toml", "-o", "out"], "out"),
        (["experiment", "failure-detection", "-m", "m", "--data", "d", "-o", "out"], "out"),
        (["two-stage", "--data", "d", "-o", "out.mts.safetensors"], "out.run"),
    ],
    ids=["transfer", "multi-task", "failure-detection", "two-stage"],
)
def test_a_second_experiment_in_one_folder_is_refused_on_the_command_line(
    words: list[str], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trainer.transfer.settings.read_transfer", lambda *_: None)
    monkeypatch.setattr("trainer.multi_task.settings.read_multi_task", lambda *_: None)
    monkeypatch.setattr(cli, "find_models", lambda _options: argparse.Namespace())
    with held(tmp_path / place):
        assert cli.main(words) == 4
    assert f"process {os.getpid()} on " in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_training_on_the_command_line_holds_its_output_until_it_is_ended(
    how: signal.Signals, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text(
        "channels = [4, 6]\nworkers = 2\npatch_voxels = 2048\nthreads = 1\nvalidations = 0\n"
    )
    words = ["train", "--data", str(data), "-o", str(tmp_path / MODEL), "--config", str(tmp_path / "c.toml")]
    training = [sys.executable, "-m", "trainer", *words, "--minutes", "5"]
    with subprocess.Popen(training, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while not (tmp_path / "m.run" / "config.json").is_file():  # the training itself has begun
            assert first.poll() is None
            time.sleep(0.1)
        time.sleep(2.0)
        second = subprocess.run([*training, "--resume"], text=True, capture_output=True, check=False)
        assert (second.returncode, second.stdout) == (4, "")
        assert f"process {first.pid} on " in second.stderr
        first.send_signal(how)
        first.wait()
        with held(tmp_path / "m.run", stream=(told := io.StringIO())):
            assert ("ended without a word" in told.getvalue()) == (how is signal.SIGKILL)
