"""The modules' own tests, run on the stand-ins in both ways that Slicer runs them."""

from __future__ import annotations

import importlib
import logging
import re
import types
import unittest

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib import job
from MultiTaskSegLib.scene.result_table import add_table, segment_rows
from MultiTaskSegLib.scene.segmentation import add_segmentation

MODULES = ("MultiTaskSeg", "OODCheck")
NO_HEAD = "Slicer's sample MRHead could not be downloaded"
NEED_PACKAGES = {"MultiTaskSeg": 3, "OODCheck": 2}  # tests that need torch
LEGEND = [{"value": 1, "name": "b", "display_name": "brain", "colour": [9, 99, 199], "terminology": ""}]


@pytest.fixture(params=MODULES)
def module(request, open_panel, monkeypatch):
    """A module whose panel is open, with a worker of its own that is the real one."""
    open_panel(request.param)
    monkeypatch.setattr(job, "_shared", job.JobRunner())
    yield importlib.import_module(request.param)
    job.shared_runner().close()


@pytest.fixture
def no_packages(module, monkeypatch):
    """As on Slicer's build machines, where the extension's Python packages are not installed."""
    self_test = importlib.import_module("MultiTaskSegLib.installation.self_test")
    monkeypatch.setattr(self_test, "is_installed", lambda _package: False)


def run_as_ctest(module) -> unittest.TestResult:
    """As ``slicer.testing.runUnitTest`` does: all that the loader finds in the module, method by method."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(module).run(result)
    return result


def test_they_pass_under_ctest(module):
    pytest.importorskip("torch")
    result = run_as_ctest(module)
    assert (result.errors, result.failures) == ([], [])
    assert [reason for _, reason in result.skipped] == [NO_HEAD] * (module.__name__ == "MultiTaskSeg")
    assert result.testsRun >= 3  # two methods, and that of the base class, which the loader finds as well


def test_they_pass_when_reload_and_test_is_pressed(module, caplog):
    pytest.importorskip("torch")
    getattr(module, f"{module.__name__}Test")().runTest()
    assert caplog.text.count("Left out") == caplog.text.count(NO_HEAD) == (module.__name__ == "MultiTaskSeg")


def test_without_packages_ctest_leaves_out_what_needs_them_and_nothing_fails(module, no_packages):
    result = run_as_ctest(module)
    assert (result.errors, result.failures) == ([], [])
    assert len(result.skipped) == NEED_PACKAGES[module.__name__]


def test_without_packages_reload_and_test_says_what_is_left_out_instead_of_failing(module, no_packages, caplog):
    with caplog.at_level(logging.WARNING):
        getattr(module, f"{module.__name__}Test")().runTest()
    assert caplog.text.count("torch, safetensors not installed") == NEED_PACKAGES[module.__name__]


def ball(radius_mm: float, left_mm: float = 0.0) -> np.ndarray:
    """A ball in a box of 70 x 70 x 70 voxels of 4 mm, bool ``(Z, Y, X)``."""
    z, y, x = (np.indices((70, 70, 70)) - 34.5) * 4
    return (x - left_mm) ** 2 + y**2 + z**2 < radius_mm**2


@pytest.mark.parametrize(
    ("mask", "name", "fault"),
    [
        (ball(66), "brain", ""),
        (ball(66), "heart", "hearts was chosen, which knows no brain"),
        (ball(50), "brain", "52[0-9] mL are no brain"),
        (ball(82), "brain", "2296 mL are no brain"),
        (ball(66, left_mm=60), "brain", "[2-4][0-9] % of the brain lie outside the head"),
    ],
)
def test_what_is_no_brain_in_a_head_fails_the_self_test(open_panel, mask, name, fault):
    open_panel("MultiTaskSeg")
    self_test = importlib.import_module("MultiTaskSegLib.installation.self_test")
    voxels = np.where(ball(90), 200.0, 3.0).astype(np.float32)
    head = slicer.util.addVolumeFromArray(voxels, ijkToRAS=np.diag([4.0, 4.0, 4.0, 1.0]), name="MRHead")
    report = {"labels": [{"value": 1, "volume_mm3": int(mask.sum()) * 64.0}], "model": {"name": "hearts"}}
    legend = [{**LEGEND[0], "display_name": name}]
    labels = mask.astype(np.uint8)
    result = types.SimpleNamespace(
        report=report,
        segmentation=add_segmentation(head, labels, legend, "segmentation", None),
        table=add_table(head, segment_rows(report, legend, labels, np.zeros(mask.shape, np.float32), 64.0), "table"),
    )
    assert re.fullmatch(fault, self_test.fault_of_brain(head, result))
