"""The modules' own tests, run on the stand-ins in both ways that Slicer runs them."""

from __future__ import annotations

import importlib
import logging
import unittest

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib import job

MODULES = ("MultiTaskSeg", "OODCheck")


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
    assert (result.errors, result.failures, result.skipped) == ([], [], [])
    assert result.testsRun >= 3  # two methods, and that of the base class, which the loader finds as well


def test_they_pass_when_reload_and_test_is_pressed(module, caplog):
    pytest.importorskip("torch")
    getattr(module, f"{module.__name__}Test")().runTest()
    assert "Left out" not in caplog.text


def test_without_packages_ctest_leaves_out_what_needs_them_and_nothing_fails(module, no_packages):
    result = run_as_ctest(module)
    assert (result.errors, result.failures) == ([], [])
    assert len(result.skipped) == 2


def test_without_packages_reload_and_test_says_what_is_left_out_instead_of_failing(module, no_packages, caplog):
    with caplog.at_level(logging.WARNING):
        getattr(module, f"{module.__name__}Test")().runTest()
    assert caplog.text.count("torch, safetensors not installed") == 2
