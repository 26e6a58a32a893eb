"""What the self-tests of both modules share: Slicer runs their methods one by one, or all by ``runTest``."""

from __future__ import annotations

import logging
import unittest
from collections.abc import Callable

from MultiTaskSegLib.installation.torch_probe import is_installed

PACKAGES = ("torch", "safetensors")  # what the worker needs and Slicer lacks


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
