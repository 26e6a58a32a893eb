"""Where the script that sets up the environment can work, and what it says before it downloads anything."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import start

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
MACHINES: dict[str, dict[str, str]] = {
    "linux": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "windows": {"sys_platform": "win32", "platform_machine": "AMD64"},
    "mac": {"sys_platform": "darwin", "platform_machine": "arm64"},
    "intel mac": {"sys_platform": "darwin", "platform_machine": "x86_64"},
}


def pretend(
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    machine: str,
    *,
    libc: tuple[str, str] = ("", ""),
    macos: str = "",
    python: tuple[int, int] = (3, 12),
) -> None:
    """Another computer."""
    monkeypatch.setattr(start.platform, "system", lambda: system)
    monkeypatch.setattr(start.platform, "machine", lambda: machine)
    monkeypatch.setattr(start.platform, "libc_ver", lambda: libc)
    monkeypatch.setattr(start.platform, "mac_ver", lambda: (macos, ("", "", ""), machine))
    monkeypatch.setattr(sys, "version_info", (*python, 0))


@pytest.mark.parametrize(
    ("told", "system", "machine", "facts", "extra"),
    [
        ("glibc 2.31.*2.34", "Linux", "x86_64", {"libc": ("glibc", "2.31")}, "dev"),
        ("glibc 2.17.*2.28", "Linux", "x86_64", {"libc": ("glibc", "2.17")}, "trainer"),
        ("glibc 2.36.*2.39", "Linux", "aarch64", {"libc": ("glibc", "2.36")}, "dev"),
        ("Alpine", "Linux", "x86_64", {"libc": ("musl", "1.2")}, "trainer"),
        ("macOS 13.6 is too old", "Darwin", "arm64", {"macos": "13.6"}, "trainer"),
        ("start with python3.12", "Darwin", "x86_64", {"macos": "13.6", "python": (3, 13)}, "trainer"),
        ("Python for x64", "Windows", "ARM64", {}, "trainer"),
    ],
)
def test_a_system_for_which_there_are_no_packages_is_told_so_before_the_download(
    told: str, system: str, machine: str, facts: dict[str, Any], extra: str, monkeypatch: pytest.MonkeyPatch
):
    pretend(monkeypatch, system, machine, **facts)
    with pytest.raises(start.CannotStart, match=told):
        start.check_system(extra)


def test_a_python_for_32_bit_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    with pytest.raises(start.CannotStart, match="32 bit"):
        start.check_system("trainer")


@pytest.mark.parametrize(
    ("system", "machine", "facts", "extra"),
    [
        ("Linux", "x86_64", {"libc": ("glibc", "2.28")}, "trainer"),
        ("Linux", "x86_64", {"libc": ("glibc", "2.36"), "python": (3, 14)}, "dev"),
        ("Darwin", "arm64", {"macos": "14.0", "python": (3, 14)}, "dev"),
        ("Darwin", "x86_64", {"macos": "12.7", "python": (3, 12)}, "dev"),
        ("Windows", "AMD64", {"python": (3, 14)}, "dev"),
    ],
)
def test_a_system_for_which_there_are_packages_is_let_through(
    system: str, machine: str, facts: dict[str, Any], extra: str, monkeypatch: pytest.MonkeyPatch
):
    pretend(monkeypatch, system, machine, **facts)
    start.check_system(extra)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", MACHINES)
def test_each_package_has_at_most_one_version_on_each_python_and_system(repository: Path, python: str, machine: str):
    facts = {"python_version": python, "python_full_version": f"{python}.0", "extra": "", **MACHINES[machine]}
    lines = (repository / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    named = [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate(facts)]
    assert len(named) == len(set(named))
    # No package is pinned on some Pythons and left open on others, unless there only later or earlier ones need it.
    versions = {pin.name: str(pin.specifier) for pin in pins if pin.marker is None or pin.marker.evaluate(facts)}
    assert {"torch", "numpy", "scipy", "coverage", "torchio", "tqdm", "joblib"} <= set(versions)
    assert versions["numpy"].startswith("==1." if machine == "intel mac" else "==2.")
    assert versions["torch"].startswith("==2.2." if machine == "intel mac" else "==2.13")


def test_slicer_s_classes_are_asked_for_only_where_there_is_a_wheel(repository: Path):
    line = re.search(r'"(slicer-core==.*)"', (repository / "pyproject.toml").read_text("utf-8"))
    assert line is not None
    marker = Requirement(line[1]).marker
    assert marker is not None
    wanted = {p: marker.evaluate({"python_version": p, **MACHINES["linux"]}) for p in PYTHONS}
    assert wanted == {p: p != "3.14" for p in PYTHONS}
    told = {p: "slicer-core" in start.packages_to_come(tuple(map(int, p.split(".")))) for p in PYTHONS}
    assert told == {p: not is_wanted for p, is_wanted in wanted.items()}


def test_what_is_left_out_for_a_python_is_named_before_the_download(repository: Path):
    lines = re.findall(r'^  "(.*)",$', (repository / "pyproject.toml").read_text("utf-8"), flags=re.MULTILINE)
    wanted = [Requirement(line) for line in lines if "python_version < '3.14'" in line]
    unnamed = {one.name for one in wanted} - set(start.packages_to_come((3, 14)))
    assert unnamed == {"dcmqi"}  # has a wheel, but is of use beside highdicom alone
    assert start.packages_to_come((3, 13)) == ()


def test_the_workflow_tests_every_python_that_is_named(repository: Path):
    workflow = (repository / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    project = (repository / "pyproject.toml").read_text("utf-8")
    for python in PYTHONS:
        assert f'"{python}"' in workflow
        assert f"Python :: {python}" in project


def test_a_package_that_is_not_made_for_this_python_is_named_in_one_line():
    log = "ERROR: Could not find a version: ray\nERROR: No matching distribution found for ray"
    assert start.why_not_installed(log).startswith("ray has no build for Python")
    assert start.why_not_installed("ERROR: disk full") == "the installation failed"
    assert (
        start.why_not_installed("connection broken\nNo matching distribution found for ray")
        == "the installation failed"
    )


class Pip:
    """In the place of pip: what it was asked for, and whether the index of builds for processors answers."""

    def __init__(self, has_index: bool) -> None:
        self.has_index, self.calls = has_index, []

    def __call__(self, arguments: list[str]) -> int:
        self.calls.append(arguments)
        return 0 if self.has_index or start.CPU_INDEX not in arguments else 1


@pytest.mark.parametrize(
    ("system", "has_card", "has_index", "present", "sizes", "installs"),
    [
        ("Linux", False, True, None, ["0.4 GB"], 2),
        ("Linux", False, True, "2.0.0+cpu", ["0.4 GB"], 2),
        ("Linux", False, True, start.pinned_torch() + "+cpu", ["0.4 GB"], 1),
        ("Linux", False, False, None, ["0.4 GB", "2.5 GB more"], 2),
        ("Linux", True, True, None, ["2.9 GB"], 1),
        ("Windows", True, True, None, ["0.4 GB"], 1),
        ("Darwin", False, True, None, ["0.4 GB"], 1),
    ],
)
def test_the_build_for_processors_is_taken_where_it_is_enough_and_the_size_is_true(
    system: str,
    has_card: bool,
    has_index: bool,
    present: str | None,
    sizes: list[str],
    installs: int,
    monkeypatch: pytest.MonkeyPatch,
):
    said: list[str] = []
    pip = Pip(has_index)
    monkeypatch.setattr(start.platform, "system", lambda: system)
    monkeypatch.setattr(start, "has_nvidia_card", lambda: has_card)
    monkeypatch.setattr(start, "probed", lambda *_: present)
    monkeypatch.setattr(start, "pip", pip)
    monkeypatch.setattr(start, "say", said.append)
    start.install({"trainer"})
    assert all(size in text for size, text in zip(sizes, said, strict=True))
    assert len(pip.calls) == installs
    assert pip.calls[-1][-1] == ".[trainer]"
