"""A guard on Windows, whose ``taskkill`` may hang: the trainer goes all the same."""

from __future__ import annotations

import subprocess

import pytest

from MultiTaskSegLib.learning import trainer_guard


class Trainer:
    """A child that notes how it was ended."""

    pid, is_killed = 4711, False

    def kill(self) -> None:
        self.is_killed = True


def hanging(command: list[str], *, timeout: float, **_options: object) -> None:
    raise subprocess.TimeoutExpired(command, timeout)


def missing(_command: list[str], **_options: object) -> None:
    raise FileNotFoundError("taskkill")


@pytest.mark.parametrize("taskkill", [hanging, missing])
def test_a_taskkill_that_hangs_or_is_missing_does_not_keep_the_trainer(taskkill, monkeypatch):
    monkeypatch.setattr(trainer_guard.subprocess, "run", taskkill)
    trainer = Trainer()
    trainer_guard.end_on_windows(trainer)
    assert trainer.is_killed
