"""What the self-tests of both modules share: Slicer runs their methods one by one, or all by ``runTest``."""

from __future__ import annotations

import logging
import unittest
from collections.abc import Callable
from typing import Any

import numpy as np
import slicer

from MultiTaskSegLib.installation.torch_probe import is_installed
from MultiTaskSegLib.registration.module_presence import has_module
from MultiTaskSegLib.registration.sample_data import HEAD, load_head
from MultiTaskSegLib.scene.result_table import rows_of

PACKAGES = ("torch", "safetensors")  # what the worker needs and Slicer lacks
LEAST_BRAIN_ML, MOST_BRAIN_ML = 900.0, 1900.0  # of adults, with room for what a result takes in or leaves out
DARK, BRIGHT_SHARE = 0.1, 0.9  # of the 99th percentile: air is darker; of a brain's voxels, some are fluid


def require_packages(test_case: unittest.TestCase) -> None:
    """Leave a test out where packages are missing: build machines do not install them."""
    missing = [package for package in PACKAGES if not is_installed(package)]
    if missing:
        test_case.skipTest(f"{', '.join(missing)} not installed")


def run_tests(test_case: unittest.TestCase, *tests: Callable[[], object]) -> None:
    """Run tests, each after ``setUp``; one that is left out is noted, as "Reload and Test" would call it a failure."""
    for test in tests:
        test_case.setUp()
        try:
            test()
        except unittest.SkipTest as reason:
            logging.warning("Left out: %s", reason)


def sample_head(test_case: unittest.TestCase) -> slicer.vtkMRMLScalarVolumeNode:
    """Slicer's own real head, to be segmented; a test is left out where packages are missing, or it cannot be
    downloaded."""
    require_packages(test_case)
    nodes = load_head() if has_module("SampleData") else []
    if not nodes:
        test_case.skipTest(f"Slicer's sample {HEAD} could not be downloaded")
    return nodes[0]


def fault_of_brain(head: slicer.vtkMRMLScalarVolumeNode, result: Any) -> str:
    """Why a result has no segment that is called brain, is as large as one, and lies in the head, not in the air around
    it; empty where it has.

    Args:
        head: T1-weighted, dark outside.
        result: a `SegmentationResult` of it.
    """
    found = {row.name: row for row in rows_of(result.table)}
    if "brain" not in found:
        return f"{result.report['model']['name']} was chosen, which knows no brain"
    row, voxels = found["brain"], slicer.util.arrayFromVolume(head)
    if not LEAST_BRAIN_ML < row.volume_ml < MOST_BRAIN_ML:
        return f"{row.volume_ml:.0f} mL are no brain"
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, row.segment_id, head) > 0
    in_head = (voxels > DARK * np.percentile(voxels, 99))[mask].mean()
    return "" if in_head > BRIGHT_SHARE else f"{100 * (1 - in_head):.0f} % of the brain lie outside the head"
