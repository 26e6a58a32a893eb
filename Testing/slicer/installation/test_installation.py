"""Installation of packages with the consent of the user, and repair of a half-installed torch (dialogs: stand-ins)."""

from __future__ import annotations

import importlib
import sys
import types

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
import slicer

from MultiTaskSegLib.runtime.errors import Cancelled, ResourceError

pytestmark = pytest.mark.usefixtures("stand_ins", "session")
GB = 1e9


class Computer:
    """What the installation meets: which torch there is, what the user answers, and what has been done."""

    def __init__(self, monkeypatch) -> None:
        self.torch, self.is_agreeing, self.free_gb = "ready", True, 100.0
        self.after_install = "ready"
        self.done: list = []
        self.questions: list[str] = []
        self._monkeypatch = monkeypatch
        self.module = importlib.import_module("MultiTaskSegLib.installation.installation")
        monkeypatch.setattr(self.module, "_ready", None)
        monkeypatch.setattr(self.module, "_trial", None)
        monkeypatch.setattr(self.module, "probe_torch", lambda _idle: self.probe())
        monkeypatch.setattr(self.module.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=self.free_gb * GB))
        monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False)
        monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", self.ask)
        monkeypatch.setattr(slicer.util, "pip_uninstall", lambda names: self.done.append(("remove", names)))
        logic = types.SimpleNamespace(installTorch=self.install)
        monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=lambda: logic))
        self.packaging(lambda requirements, requester: self.done.append((requirements, requester)))

    def packaging(self, ensure) -> None:
        """How Slicer's own installation of packages behaves; None for a Slicer without it."""
        load = lambda path: path.read_text(encoding="utf-8")  # noqa: E731
        module = None if ensure is None else types.SimpleNamespace(load_requirements=load, pip_ensure=ensure)
        self._monkeypatch.setitem(sys.modules, "slicer.packaging", module)

    def probe(self):
        self.done.append("probe")
        return self.module.TorchProbe(
            self.module.TorchState(self.torch), "2.9" if self.torch == "ready" else "ImportError"
        )

    def ask(self, text: str, *_args: object) -> bool:
        self.questions.append(text)
        return self.is_agreeing

    def install(self, **options: object) -> object:
        self.done.append(("install", options))
        self.torch = self.after_install
        return object() if self.is_agreeing else None


@pytest.fixture
def computer(monkeypatch):
    return Computer(monkeypatch)


def test_nothing_is_installed_while_slicer_tests_itself(computer, monkeypatch):
    computer.torch = "missing"
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    computer.module.ensure_packages()
    assert computer.done == []


def test_a_torch_that_works_is_tried_once_and_the_requirements_file_is_handed_to_slicer(computer):
    computer.module.ensure_packages()
    computer.module.ensure_packages()
    assert computer.done.count("probe") == 1
    requirements, requester = computer.done[1]
    assert "safetensors>=" in requirements
    assert requester == "MultiTaskSeg"
    assert computer.questions == []


def test_without_the_pytorch_extension_the_user_is_told_to_install_it(computer, monkeypatch):
    computer.torch = "missing"
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(ResourceError, match="Install the PyTorch extension in the Extensions Manager"):
        computer.module.ensure_packages()


def test_a_missing_torch_is_installed_by_the_pytorch_extension_after_asking_and_tried(computer):
    computer.torch = "missing"
    computer.module.ensure_packages()
    options = {"askConfirmation": True, "torchVersionRequirement": ">=2.2"}
    assert computer.done[:3] == ["probe", ("install", options), "probe"]


def test_declining_torch_ends_the_run(computer):
    computer.torch, computer.is_agreeing = "missing", False
    with pytest.raises(Cancelled, match="PyTorch was not installed"):
        computer.module.ensure_packages()


def test_a_half_installed_torch_is_removed_and_installed_again_after_asking(computer):
    computer.torch = "broken"
    assert computer.module.ensure_torch().detail == "2.9"
    assert "ImportError" in computer.questions[0]
    assert computer.done[1] == ("remove", "torch torchvision")
    assert [step[0] if isinstance(step, tuple) else step for step in computer.done] == [
        "probe",
        "remove",
        "install",
        "probe",
    ]


def test_declining_the_repair_removes_nothing(computer):
    computer.torch, computer.is_agreeing = "broken", False
    with pytest.raises(Cancelled, match="not repaired"):
        computer.module.ensure_torch()
    assert computer.done == ["probe"]


def test_a_torch_that_stays_broken_is_an_error_that_says_what_to_do(computer):
    computer.torch = computer.after_install = "broken"
    with pytest.raises(ResourceError, match=r"ImportError.*Restart Slicer"):
        computer.module.ensure_torch()


def test_an_installation_that_fails_is_told_with_its_reason(computer, monkeypatch):
    def fail(**_options):
        raise OSError("network unreachable")

    computer.torch = "missing"
    logic = types.SimpleNamespace(installTorch=fail)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=lambda: logic))
    with pytest.raises(ResourceError, match="network unreachable"):
        computer.module.ensure_torch()


def test_a_full_disk_is_refused_before_anything_is_downloaded(computer):
    computer.torch, computer.free_gb = "missing", 1.0
    with pytest.raises(ResourceError, match=r"only 1\.0 GB are free"):
        computer.module.ensure_torch()
    assert computer.done == ["probe"]


@pytest.mark.parametrize("agrees", [True, False])
def test_a_nearly_full_disk_is_asked_about(computer, agrees):
    computer.torch, computer.free_gb, computer.is_agreeing = "missing", 5.0, agrees
    if agrees:
        computer.module.ensure_torch()
    else:
        with pytest.raises(Cancelled):
            computer.module.ensure_torch()
        assert computer.done == ["probe"]
    assert "Only 5.0 GB are free" in computer.questions[0]


def test_declining_in_slicers_packaging_ends_the_run(computer):
    def decline(*_args, **_options):
        raise RuntimeError("User declined package installation")

    computer.packaging(decline)
    with pytest.raises(Cancelled, match="declined"):
        computer.module.ensure_packages()


def test_a_failure_of_pip_is_told_with_its_reason(computer):
    def fail(*_args, **_options):
        raise OSError("pip ended with exit code 1")

    computer.packaging(fail)
    with pytest.raises(ResourceError, match="pip ended with exit code 1"):
        computer.module.ensure_packages()


@pytest.mark.parametrize("agrees", [True, False])
def test_before_slicer_5_12_the_user_is_asked_too(computer, monkeypatch, agrees):
    computer.packaging(None)
    computer.is_agreeing = agrees
    monkeypatch.setattr(computer.module, "is_installed", lambda _package: False)
    installed: list = []
    monkeypatch.setattr(slicer.util, "pip_install", installed.append)
    if agrees:
        computer.module.ensure_packages()
        assert [line.split(">=")[0] for line in installed[0]] == ["safetensors"]
    else:
        with pytest.raises(Cancelled):
            computer.module.ensure_packages()
        assert installed == []


@pytest.fixture
def probe():
    return importlib.import_module("MultiTaskSegLib.installation.torch_probe")


def test_whether_a_package_is_there_is_seen_without_importing_it(probe):
    assert probe.is_installed("numpy")
    assert not probe.is_installed("no-such-package-anywhere")


def test_a_torch_that_loads_is_ready_with_its_version(probe):
    torch = pytest.importorskip("torch")
    found = probe.probe_torch(lambda: None)
    assert found == probe.TorchProbe(probe.TorchState.READY, torch.__version__)


@pytest.mark.parametrize(
    ("program", "detail"),
    [
        ("raise ImportError('libc10.so is missing')", "ImportError: libc10.so is missing"),
        ("import os; os._exit(7)", "exit code 7"),
    ],
)
def test_a_torch_that_fails_in_the_child_is_broken_with_its_last_words(probe, monkeypatch, program, detail):
    monkeypatch.setattr(probe, "is_installed", lambda _package: True)
    monkeypatch.setattr(probe, "PROGRAM", program)
    assert probe.probe_torch(lambda: None) == probe.TorchProbe(probe.TorchState.BROKEN, detail)


def test_a_torch_that_hangs_is_broken_and_its_process_is_ended_while_the_caller_goes_on(probe, monkeypatch):
    calls: list[int] = []
    started = []
    start_tree = probe.start_tree
    monkeypatch.setattr(probe, "start_tree", lambda *args: started.append(start_tree(*args)) or started[0])
    monkeypatch.setattr(probe, "is_installed", lambda _package: True)
    monkeypatch.setattr(probe, "PROGRAM", "import time; time.sleep(600)")
    found = probe.probe_torch(lambda: calls.append(1), time_limit_s=0.3)
    assert found == probe.TorchProbe(probe.TorchState.BROKEN, "no answer within 0.3 s")
    assert started[0].poll() is not None
    assert calls


def test_no_torch_at_all_is_missing(probe, monkeypatch):
    monkeypatch.setattr(probe, "is_installed", lambda _package: False)
    assert probe.probe_torch(lambda: None) == probe.TorchProbe(probe.TorchState.MISSING)


class TrialStandIn:
    """A trial of torch that was started; tells when somebody waits for it."""

    def __init__(self, module, state: str, done: list) -> None:
        self._found = module.TorchProbe(module.TorchState(state), "of the early trial")
        self._done = done
        done.append("started")

    def outcome(self, _idle):
        self._done.append("waited")
        return self._found

    def end(self) -> None:
        """Nothing runs."""


def early(computer, monkeypatch, state: str) -> list:
    done: list = []
    monkeypatch.setattr(computer.module, "TorchTrial", lambda: TrialStandIn(computer.module, state, done))
    return done


def test_torch_is_tried_early_once_and_the_first_run_takes_that_outcome(computer, monkeypatch):
    done = early(computer, monkeypatch, "ready")
    computer.module.warm_up()
    computer.module.warm_up()
    assert done == ["started"]
    assert computer.module.ensure_torch().detail == "of the early trial"
    computer.module.warm_up()
    assert done == ["started", "waited"]
    assert "probe" not in computer.done


def test_an_early_trial_that_found_nothing_is_repeated_before_anything_is_installed(computer, monkeypatch):
    early(computer, monkeypatch, "missing")
    computer.module.warm_up()
    assert computer.module.ensure_torch().detail == "2.9"  # installed meanwhile
    assert computer.done == ["probe"]


def test_nothing_is_tried_early_while_slicer_tests_itself(computer, monkeypatch):
    done = early(computer, monkeypatch, "ready")
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    computer.module.warm_up()
    assert done == []


def test_an_early_trial_that_ended_long_ago_still_counts(computer, monkeypatch):
    probe = importlib.import_module("MultiTaskSegLib.installation.torch_probe")
    monkeypatch.setattr(probe, "PROGRAM", "print('2.9')")
    monkeypatch.setattr(probe, "is_installed", lambda _package: True)
    trial = probe.TorchTrial(time_limit_s=0.0)
    trial._process.wait()
    assert trial.outcome(lambda: None) == probe.TorchProbe(probe.TorchState.READY, "2.9")
