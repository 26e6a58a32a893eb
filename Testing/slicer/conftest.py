"""Fixtures of the tests that need Slicer's MRML classes; the tests are skipped where they are not installed."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from MultiTaskSegLib import job
from MultiTaskSegLib.learning import shared_training
from MultiTaskSegLib.learning.trainer_python import TrainerPython

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
FAKE_TRAINER = Path(__file__).parent / "learning" / "fake_trainer.py"


@pytest.fixture
def session() -> Iterator[object]:
    """A fresh scene for each test, because clearing one keeps its singleton nodes."""
    pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
    from Testing.slicer.mrml_session import MrmlSession

    opened = MrmlSession()
    yield opened
    opened.close()


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Path:
    """Where the worker's files go."""
    folder = Path(tmp_path) / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="session")
def stand_ins() -> object:
    """The stand-in ``qt`` module, once for the whole test run (Qt allows one application per process)."""
    pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
    pytest.importorskip(
        "PySide6.QtWidgets", reason="PySide6 or the system libraries it needs are missing", exc_type=ImportError
    )
    from Testing.slicer.stand_ins.installation import install

    return install()


class PackagesStandIn:
    """``slicer.packaging`` where all packages are installed."""

    def load_requirements(self, path: Path) -> list[str]:
        """The lines of the file."""
        return path.read_text(encoding="utf-8").splitlines()

    def pip_ensure(self, requirements: list[str], requester: str) -> None:
        """Nothing to do."""


@pytest.fixture
def open_panel(stand_ins, session, monkeypatch) -> Iterator[object]:
    """Opens the panel of a module in the scene of the test: ``widget = open_panel("MultiTaskSeg")``."""
    from Testing.slicer.stand_ins.panel import Panels

    stand_ins.QSettings().clear()
    installation = importlib.import_module("MultiTaskSegLib.installation.installation")
    ready = installation.TorchProbe(installation.TorchState.READY, "of a test")
    monkeypatch.setattr(installation, "_ready", ready)  # trying torch takes seconds
    monkeypatch.setitem(sys.modules, "slicer.packaging", PackagesStandIn())
    panels = Panels(stand_ins, session)
    yield panels.open
    panels.close()


@pytest.fixture
def worker(monkeypatch, tmp_path_factory) -> Iterator[Callable[[str], Path]]:
    """Chooses how the stand-in worker behaves: ``folder = worker("slow")``; its temporary files go to that folder."""
    folder = tmp_path_factory.mktemp("worker")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    def choose(behaviour: str) -> Path:
        job.shared_runner().close()
        monkeypatch.setattr(job, "_shared", job.JobRunner([sys.executable, str(FAKE_WORKER), behaviour]))
        return folder

    choose("good")
    yield choose
    job.shared_runner().close()


@pytest.fixture
def until() -> Callable[..., bool]:
    """Lets Qt handle its events until something is the case: ``assert until(lambda: button.text == "Check")``."""
    from Testing.slicer.stand_ins.panel import run_event_loop_until

    return run_event_loop_until


@pytest.fixture
def no_exception_in_a_slot(monkeypatch) -> Iterator[None]:
    """Qt prints an exception that leaves a slot, and goes on; here it fails the test."""
    exceptions: list = []
    monkeypatch.setattr(sys, "excepthook", lambda *details: exceptions.append(details))
    yield
    assert exceptions == []


@pytest.fixture
def panel(open_panel, worker, no_exception_in_a_slot) -> object:
    """The panel of MultiTaskSeg with a volume."""
    from Testing.slicer import scene_samples

    scene_samples.volume()
    return open_panel("MultiTaskSeg")


@pytest.fixture
def segment(panel, until) -> Callable[[], object]:
    """Presses the button and waits for the end of the run; returns the shown segmentation."""

    def press() -> object:
        panel.ui.segmentButton.click()
        assert until(lambda: panel.ui.segmentButton.text == "Segment")
        return panel.parameters.segmentation

    return press


@pytest.fixture
def finished(until) -> Callable[[object], None]:
    """Presses the button of OODCheck and waits for the end."""

    def run(widget) -> None:
        widget.ui.checkButton.click()
        assert until(lambda: widget.ui.checkButton.text == "Check")

    return run


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
    shutil.copyfile(FAKE_TRAINER, package / "__main__.py")
    main = package / "__main__.py"
    main.write_text(
        main.read_text().replace("Path(__file__).resolve().parents[3]", f"Path({str(FAKE_TRAINER.parents[3])!r})")
    )
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("FAKE_TRAINER_CHILD", str(tmp_path / "child.txt"))

    def choose(behaviour: str) -> TrainerPython:
        monkeypatch.setenv("FAKE_TRAINER", behaviour)
        return TrainerPython(sys.executable, is_own=True)

    yield choose
    shared_training.forget_training()


@pytest.fixture
def line_ends_of_windows(monkeypatch) -> None:
    """Text files get the line ends of Windows, unless it is said which they are to have."""

    def write_text(path, data, encoding=None, errors=None, newline=None) -> int:
        with path.open("w", encoding=encoding, errors=errors, newline="\r\n" if newline is None else newline) as file:
            return file.write(data)

    monkeypatch.setattr(Path, "write_text", write_text)
