"""Which software makes a result, read from installed metadata only: nothing is imported for it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import slicer

PACKAGES = ("torch", "numpy", "scipy", "SimpleITK")


def software_versions(own_version: str) -> dict[str, str]:
    """Version by name: MultiTaskSeg, Slicer, and those packages of `PACKAGES` that are installed."""
    versions = {"MultiTaskSeg": own_version, "Slicer": str(slicer.app.applicationVersion)}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue  # the worker would have failed without it, so nothing was computed with it
    return versions
