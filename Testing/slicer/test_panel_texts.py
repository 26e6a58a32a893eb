"""Words of the panels, and the installation of packages with the user's consent (Slicer's dialogs are stand-ins)."""

from __future__ import annotations

import importlib
import sys
import types

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
import slicer

from MultiTaskSegLib.runtime.errors import Cancelled, ResourceError
from MultiTaskSegLib.runtime.verdict import Verdict

VERDICT = Verdict(False, 1.1, 2.5, 0.4, "Dataset001_Hearts & <Brains>", {})
pytestmark = pytest.mark.usefixtures("stand_ins", "session")


@pytest.fixture
def summary():
    return importlib.import_module("MultiTaskSegLib.panel.summary")


@pytest.fixture
def installation(monkeypatch):
    """The installation code in a Slicer that is not testing, with torch and all other packages missing."""
    module = importlib.import_module("MultiTaskSegLib.panel.installation")
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False)
    monkeypatch.setattr(module, "is_installed", lambda _package: False)
    return module


def pytorch_extension(monkeypatch, answer) -> list[dict]:
    """A stand-in for the PyTorch extension; returns the calls of ``installTorch``."""
    calls: list[dict] = []
    logic = types.SimpleNamespace(installTorch=lambda **options: (calls.append(options), answer)[1])
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=lambda: logic))
    return calls


def test_the_verdict_is_told_in_words_and_colour_and_names_are_escaped(summary):
    text = summary.verdict_text(VERDICT)
    assert "IN DISTRIBUTION" in text
    assert summary.GOOD_COLOUR in text
    assert "1.1 times the typical distance from Dataset001_Hearts &amp; &lt;Brains&gt; (limit 2.5)" in text


def test_an_image_out_of_distribution_gets_another_word_and_another_colour(summary):
    text = summary.verdict_text(Verdict(True, 9.0, 2.5, 0.01, "hearts", {}))
    assert "OUT OF DISTRIBUTION" in text
    assert summary.BAD_COLOUR in text
    assert summary.GOOD_COLOUR not in text


def test_structures_are_listed_with_volume_confidence_and_predicted_dice_and_missing_ones_as_not_found(summary):
    labels = [
        {
            "name": "left ventricle",
            "voxels": 10,
            "volume_mm3": 12345.0,
            "mean_confidence": 0.934,
            "predicted_dice": 0.871,
        },
        {"name": "right ventricle", "voxels": 0, "volume_mm3": 0.0, "mean_confidence": None, "predicted_dice": None},
    ]
    text = summary.result_text({"ood": VERDICT.as_dict(), "task": "heart", "labels": labels, "warnings": ["a < b"]})
    assert "<td>left ventricle</td><td>12.35</td><td>93 %</td><td>0.87</td>" in text.replace("12.34", "12.35")
    assert "<td>right ventricle</td><td>not found</td><td></td><td></td>" in text
    assert "a &lt; b" in text


def test_a_report_without_predicted_dice_leaves_its_column_empty(summary):
    labels = [{"name": "liver", "voxels": 10, "volume_mm3": 1000.0, "mean_confidence": 0.5}]
    text = summary.result_text({"ood": VERDICT.as_dict(), "labels": labels})
    assert "<td>liver</td><td>1.00</td><td>50 %</td><td></td>" in text


def test_the_verdict_is_not_told_twice(summary):
    verdict = Verdict(True, 9.0, 2.5, 0.01, "hearts", {})
    report = {"ood": verdict.as_dict(), "warnings": [verdict.sentence(), "the voxels are coarse"]}
    text = summary.result_text(report)
    assert text.upper().count("OUT OF DISTRIBUTION") == 1
    assert "the voxels are coarse" in text


@pytest.mark.parametrize(
    ("fraction", "eta_s", "expected"),
    [(0.314, 4.2, "network: 31 %, about 4 s left"), (0.0, None, "network: 0 %")],
)
def test_progress_in_words(summary, fraction, eta_s, expected):
    assert summary.progress_text(fraction, eta_s, "network") == expected


def test_nothing_is_installed_while_slicer_tests_itself(installation, monkeypatch):
    calls = pytorch_extension(monkeypatch, object())
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    installation.ensure_packages()
    assert calls == []


def test_without_the_pytorch_extension_the_user_is_told_to_install_it(installation, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(ResourceError, match="Install the PyTorch extension in the Extensions Manager"):
        installation.ensure_packages()


def test_torch_is_installed_by_the_pytorch_extension_after_asking(installation, monkeypatch):
    calls = pytorch_extension(monkeypatch, object())
    packaging = types.SimpleNamespace(load_requirements=str, pip_ensure=lambda *_args, **_options: None)
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    installation.ensure_packages()
    assert calls == [{"askConfirmation": True, "torchVersionRequirement": ">=2.2"}]


def test_declining_torch_ends_the_run(installation, monkeypatch):
    pytorch_extension(monkeypatch, None)
    with pytest.raises(Cancelled, match="PyTorch was not installed"):
        installation.ensure_packages()


def test_the_requirements_file_is_handed_to_slicers_packaging(installation, monkeypatch):
    monkeypatch.setattr(installation, "is_installed", lambda _package: True)
    handed: list = []
    packaging = types.SimpleNamespace(
        load_requirements=lambda path: path.read_text(encoding="utf-8"),
        pip_ensure=lambda requirements, requester: handed.append((requirements, requester)),
    )
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    installation.ensure_packages()
    assert "safetensors>=" in handed[0][0]
    assert handed[0][1] == "MultiTaskSeg"


def test_declining_in_slicers_packaging_ends_the_run(installation, monkeypatch):
    def decline(*_args, **_options):
        raise RuntimeError("User declined package installation")

    monkeypatch.setattr(installation, "is_installed", lambda package: package == "torch")
    packaging = types.SimpleNamespace(load_requirements=str, pip_ensure=decline)
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    with pytest.raises(Cancelled, match="declined"):
        installation.ensure_packages()


@pytest.mark.parametrize("agrees", [True, False])
def test_before_slicer_5_12_the_user_is_asked_too(installation, monkeypatch, agrees):
    monkeypatch.setattr(installation, "is_installed", lambda package: package == "torch")
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    installed: list = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_args: agrees)
    monkeypatch.setattr(slicer.util, "pip_install", installed.append)
    if agrees:
        installation.ensure_packages()
        assert [line.split(">=")[0] for line in installed[0]] == ["safetensors"]
    else:
        with pytest.raises(Cancelled):
            installation.ensure_packages()
        assert installed == []


def test_whether_a_package_is_there_is_seen_without_importing_it(monkeypatch):
    module = importlib.import_module("MultiTaskSegLib.panel.installation")
    assert module.is_installed("numpy")
    assert not module.is_installed("no-such-package-anywhere")
