"""What was not tested, and why, belongs to the result: skips are counted by reason; a lack that can be mended fails.

Packages that the ``dev`` extra asks for on this system and this Python are no excuse for a skip, and neither is a
reason that nobody has written down here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

import pytest
from packaging.requirements import Requirement

PACKAGE = "multitaskseg"
# Why a test may be skipped on a system that is as it should be. Packages of the ``dev`` extra are asked for beside.
KNOWN_REASONS = (
    r"root may read everything",
    r"real data not found at .*",
    r"(slicer-core|dcmqi|highdicom) is not installed( for this Python)?",
    r"pydicom writes the DICOM files of these tests",
    r"PySide6 or the system libraries it needs are missing",
    r"off-screen OpenGL does not work here: .*",
    r"pydicom makes the DICOM files of these tests",
    r"nibabel writes the NIfTI files of these tests",
    r"closed pipes are told otherwise on Windows",
    r"Pillow writes the pictures of these tests",
    r"OpenVINO is not installed",
    r"this torch has no oneDNN",
    r"(Ray|pyarrow|nnunetv2) is not installed",
    r"Windows (has no file modes|has no named pipes|cannot open a folder|does not replace a file that is open)",
    r"Windows (cannot (limit files|fork)|does not allow such names)",
    r"Windows has no signals that ask a process to end",
    r"a setting of glibc",
    r"needs a program that is a text",
    r"only Linux names files with any bytes",
    r"the system has no resource usage of processes",
    r"(measures|sets the limit|limits the memory) the Linux way",
    r"(limits the size of files|limits on the size of files are of Unix|this system cannot limit the size of files)",
    r"None and True are immortal here",
    r"open descriptors are counted through /proc",
    r"(reads /proc|sends a signal|reads the files of Linux|there is no Slurm)",
)


def wanted_packages(extra: str, requirements: Iterable[str]) -> set[str]:
    """Names of the packages that an extra asks for on this system, those of the extras it refers to among them."""
    found: set[str] = set()
    waiting, seen = [extra], {extra}
    parsed = [Requirement(text) for text in requirements]
    while waiting:
        name = waiting.pop()
        for requirement in parsed:
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": name}):
                continue
            if requirement.name != PACKAGE:
                found.add(requirement.name)
            new = requirement.extras - seen if requirement.name == PACKAGE else set()
            waiting += new
            seen |= new
    return found


def missing_packages(extra: str, requirements: Iterable[str], version_of: Callable[[str], str] = version) -> list[str]:
    """Those of the `wanted_packages` that are not installed."""
    missing = []
    for name in sorted(wanted_packages(extra, requirements)):
        try:
            version_of(name)
        except PackageNotFoundError:
            missing.append(name)
    return missing


def unknown_reasons(reasons: Iterable[str]) -> list[str]:
    """Reasons for a skip that are not among `KNOWN_REASONS`."""
    return sorted({text for text in reasons if not any(re.fullmatch(known, text) for known in KNOWN_REASONS)})


def skip_reasons(reports: Iterable[Any]) -> Counter[str]:
    """How often each reason was given; a report's ``longrepr`` is (file, line, reason)."""
    return Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports if report.longrepr)


def own_requirements(requirements_of: Callable[[str], list[str] | None] = requires) -> list[str]:
    """What the installed package asks for; the package itself where it is only on the path."""
    try:
        return requirements_of(PACKAGE) or []
    except PackageNotFoundError:
        return [f'{PACKAGE}-itself; extra == "dev"']


def complaints(reports: Iterable[Any], requirements: Iterable[str]) -> list[str]:
    """Why the run fails although no test did."""
    found = [f"skipped for a reason that is not known: {text}" for text in unknown_reasons(skip_reasons(reports))]
    missing = missing_packages("dev", requirements)
    if missing:
        found.append(f"not installed: {', '.join(missing)}; run 'python3 start.py test', or pip install -e '.[dev]'")
    return found


def _skipped(config: pytest.Config) -> list[Any]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [] if reporter is None else reporter.stats.get("skipped", [])


def _is_worker(config: pytest.Config) -> bool:
    """Processes beside the first one report to it, and say nothing themselves."""
    return hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run with complaints has failed."""
    if not _is_worker(session.config) and complaints(_skipped(session.config), own_requirements()):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Skips by reason, and complaints, before the closing line with the counts."""
    reports = _skipped(config)
    for reason, count in sorted(skip_reasons(reports).items()):
        terminalreporter.write_line(f"not tested: {count} x {reason}")
    for text in complaints(reports, own_requirements()):
        terminalreporter.write_line(f"FAILED although no test did: {text}", red=True)
