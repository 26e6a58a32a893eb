"""A stand-in for the trainer that tests can start, and an empty folder of models."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from MultiTaskSegLib.learning import shared_training
from MultiTaskSegLib.learning.trainer_python import TrainerPython

FAKE = Path(__file__).with_name("fake_trainer.py")


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """The user's folder of models."""
    monkeypatch.setenv("MULTITASKSEG_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def fake_trainer(tmp_path, monkeypatch) -> Iterator[Callable[[str], TrainerPython]]:
    """Chooses how the stand-in behaves: ``python = fake_trainer("slow")``."""
    package = tmp_path / "packages" / "trainer"
    (package / "pretraining").mkdir(parents=True)
    for name in ("__init__.py", "pretraining/__init__.py", "pretraining/finetune.py"):
        (package / name).touch()
    shutil.copyfile(FAKE, package / "__main__.py")
    main = package / "__main__.py"
    main.write_text(main.read_text().replace("Path(__file__).resolve().parents[3]", f"Path({str(FAKE.parents[3])!r})"))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("FAKE_TRAINER_CHILD", str(tmp_path / "child.txt"))

    def choose(behaviour: str) -> TrainerPython:
        monkeypatch.setenv("FAKE_TRAINER", behaviour)
        return TrainerPython(sys.executable, is_own=True)

    yield choose
    shared_training.forget_training()
