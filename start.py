#!/usr/bin/env python3
"""Two commands from a bare clone, with nothing but Python 3.10 or newer and git.

    python3 start.py demo               the whole story on data it makes itself, with pictures
    python3 start.py test               all tests on all cores, the style check and the type check
    python3 start.py test -k geometry   only these tests, one after the other; what follows goes to pytest

The first run makes a virtual environment in the folder .venv beside this file and installs the package there. That
downloads 0.4 GB for the demo and 0.8 GB for the tests; on Linux 2.5 GB more where a graphics card of NVIDIA is found,
or where the build of torch for processors cannot be had. Later runs use it as it is, until pyproject.toml or
constraints.txt change, or it no longer works: then it is made anew.

On Windows torch uses the processor; for a graphics card there, install torch into .venv yourself as
https://pytorch.org/get-started tells for CUDA, after the first run.
"""

# Standard library only, and no syntax newer than Python 3.6: an old interpreter must reach the sentence that says so.

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
TYPES_FROM = (3, 11)
STAMP = ENVIRONMENT / "multitaskseg-stamp.json"
LOG = ENVIRONMENT / "install.log"
OLDEST_PYTHON = (3, 10)
OLDEST_GLIBC = {"trainer": (2, 28), "dev": (2, 34)}  # of the wheels of torch and of PySide6
OLDEST_GLIBC_ON_ARM = {"trainer": (2, 28), "dev": (2, 39)}
OLDEST_MACOS = (14, 0)  # of torch and PySide6 on Apple's own processors
INTEL_MAC_PYTHON = (3, 12)  # the last for which there is a torch
LATER = {(3, 14): ("slicer-core", "highdicom")}  # wanted packages that have no wheel yet, from which Python on
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
DOWNLOAD_GB = {"trainer": 0.4, "dev": 0.8}
GPU_LIBRARIES_GB = 2.5
NEEDED_EXTRA = {"demo": "trainer", "test": "dev"}
STEPS = ("Downloading", "Building", "Installing collected", "Successfully installed")


class CannotStart(Exception):
    """A sentence for the user: what is missing and what to do."""


def say(text: str) -> None:
    """Tell the user, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def check_python() -> None:
    """Raise CannotStart where this interpreter cannot make the environment."""
    if sys.version_info < OLDEST_PYTHON:
        raise CannotStart(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} is too old: start this script with Python 3.10 or "
            "newer, for example 'python3.12 start.py'."
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise CannotStart(
            "this Python cannot make virtual environments (ensurepip is missing): on Debian or Ubuntu run "
            "'apt install python3-venv', elsewhere use the Python from python.org."
        )


def version_of(text: str) -> "tuple[int, ...]":
    """The first two numbers of a version."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def check_system(extra: str) -> None:
    """Raise CannotStart, before anything is downloaded, where no wheels are made for this computer."""
    system, machine, name = platform.system(), platform.machine().lower(), platform.libc_ver()
    if sys.maxsize < 2**32:
        raise CannotStart("this is a Python for 32 bit, and PyTorch needs 64: install that from python.org.")
    if system == "Windows" and machine == "arm64":
        raise CannotStart(
            "PyTorch is used here with the Python for x64, which runs on Windows on ARM, too: install that."
        )
    if system == "Darwin" and machine == "x86_64" and sys.version_info[:2] > INTEL_MAC_PYTHON:
        raise CannotStart("on Macs with an Intel processor the last PyTorch is for Python 3.12: start with python3.12.")
    if system == "Darwin" and machine == "arm64" and version_of(platform.mac_ver()[0]) < OLDEST_MACOS:
        raise CannotStart(f"macOS {platform.mac_ver()[0]} is too old: PyTorch and PySide6 need macOS 14 or newer.")
    if name[0] == "musl" or Path("/etc/alpine-release").exists():
        raise CannotStart("PyTorch is made for Linux with glibc, which Alpine lacks: use Debian, Ubuntu, Fedora, ...")
    oldest = (OLDEST_GLIBC_ON_ARM if machine == "aarch64" else OLDEST_GLIBC)[extra]
    if name[0] == "glibc" and version_of(name[1]) < oldest:
        needed = ".".join(str(number) for number in oldest)
        raise CannotStart(
            f"this Linux is too old: it has glibc {name[1]}, and the packages for '{extra}' need {needed}: take a "
            "newer one (2.34 is in Debian 12, Ubuntu 22.04 and RHEL 9; 2.39 in Ubuntu 24.04)."
        )


def packages_to_come(python: "tuple[int, ...]") -> "tuple[str, ...]":
    """Wanted packages without a wheel for this Python: what they are needed for is skipped."""
    return tuple(name for since, names in LATER.items() if python >= since for name in names)


def environment_python(environment: Path) -> Path:
    """The interpreter inside a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def clean_variables() -> "dict[str, str]":
    """The environment variables without those that would lead Python or pip out of the virtual environment."""
    unwanted = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONNOUSERSITE": "1"}


def fingerprint(root: Path) -> str:
    """Changes whenever the installation has to be done again."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def installed_extras(stamp: Path, expected: str) -> "set[str]":
    """Extras that a finished installation of the same fingerprint and place holds; none after a change or a break."""
    try:
        content = json.loads(stamp.read_text(encoding="utf-8"))
        is_same = content["fingerprint"] == expected and content["folder"] == str(stamp.resolve().parent)
        return set(content["extras"]) if is_same and content["python"] == python_in(stamp.parent) else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def write_stamp(stamp: Path, expected: str, extras: "set[str]") -> None:
    """Record a finished installation: of what, where, for which Python; the file appears whole or not at all."""
    content = {
        "fingerprint": expected,
        "extras": sorted(extras),
        "folder": str(stamp.resolve().parent),
        "python": python_in(stamp.parent),
    }
    part = stamp.with_suffix(".part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(stamp)


def python_in(environment: Path) -> "str | None":
    """Version of the Python of a virtual environment that has pip; None where it does not start."""
    probe = "import sys, pip; print('.'.join(map(str, sys.version_info[:3])))"
    return probed(environment, probe)


def probed(environment: Path, code: str) -> "str | None":
    """What a line of code prints inside an environment; None where it fails."""
    command = [str(environment_python(environment)), "-c", code]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_variables())
    except OSError:
        return None
    return done.stdout.decode().strip() if done.returncode == 0 else None


def is_whole(environment: Path) -> bool:
    """Whether what was installed is still there: of this checkout, with the largest package."""
    probe = (
        "import importlib.util as u, importlib.metadata as m; m.version('multitaskseg'); m.version('torch');"
        "print(u.find_spec('torch').origin and u.find_spec('MultiTaskSegLib').origin)"
    )
    found = probed(environment, probe)
    return found is not None and ROOT in Path(found).resolve().parents


def make_environment(environment: Path) -> None:
    """Make the virtual environment; one that no longer works, or that another place or Python had made, goes first."""
    if is_usable(environment):
        return
    clear = ["--clear"] if environment.exists() else []
    say(f"[1/2] making the virtual environment in {environment}" + (" anew: it no longer works" if clear else ""))
    command = [sys.executable, "-m", "venv", *clear, str(environment)]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_variables())
    if made.returncode != 0:
        raise CannotStart(
            f"the virtual environment could not be made in {environment}: check free disk space and rights, and on "
            f"Debian or Ubuntu run 'apt install python3-venv'.\n{made.stdout.decode(errors='replace')}"
        )


def is_usable(environment: Path) -> bool:
    """Whether packages can be installed into it: it starts, is no older than needed, and has not been moved here."""
    version = python_in(environment)
    if version is None or version_of(version) < OLDEST_PYTHON:
        return False
    try:
        stamp = json.loads((environment / STAMP.name).read_text(encoding="utf-8"))
        return bool(stamp["folder"] == str(environment.resolve()) and stamp["python"] == version)
    except (OSError, ValueError, KeyError, TypeError):
        return True  # made by hand, or the installation has not come to its end yet


def has_nvidia_card() -> bool:
    """Whether a driver for NVIDIA's graphics cards is there."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def pinned_torch() -> str:
    """The version of torch with which the tests are run."""
    found = re.search(r"^torch==([\d.]+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)
    if found is None:
        raise CannotStart("constraints.txt names no torch: take the file from the repository again.")
    return found.group(1)


def wants_processor_torch() -> bool:
    """Whether torch is to come from the index of builds for processors.

    Only Linux needs that: there the build of the package index brings libraries for NVIDIA's cards.
    """
    if platform.system() != "Linux" or has_nvidia_card():
        return False
    present = probed(ENVIRONMENT, "import importlib.metadata as m; print(m.version('torch'))")
    return present is None or present.split("+")[0] != pinned_torch()


def install(extras: "set[str]") -> None:
    """Install the package in place with its extras, showing one line of progress per package."""
    names = ",".join(sorted(extras))
    size_gb = max(DOWNLOAD_GB[extra] for extra in extras)
    is_for_card = platform.system() == "Linux" and has_nvidia_card()
    size_gb += GPU_LIBRARIES_GB if is_for_card else 0.0
    for_card = ", of them 2.5 GB for the graphics card that was found" if is_for_card else ""
    say(f"[2/2] installing multitaskseg[{names}]: {size_gb:.1f} GB to download the first time{for_card}")
    for name in packages_to_come(tuple(sys.version_info[:2])) if "dev" in extras else ():
        say(f"      {name} has no build for Python {platform.python_version()} yet: tests that need it are skipped")
    if wants_processor_torch():
        source = ["--retries=1", "--timeout=15", "--index-url", CPU_INDEX]
        if pip(["--no-deps", *source, f"torch=={pinned_torch()}"]) != 0:
            say(f"      {CPU_INDEX} cannot be reached: torch comes with its libraries for graphics cards, 2.5 GB more")
    if pip(["--only-binary=:all:", "--constraint", "constraints.txt", "--editable", f".[{names}]"]) != 0:
        log = LOG.read_text(encoding="utf-8")
        tail = "".join(log.splitlines(keepends=True)[-15:])
        raise CannotStart(f"{why_not_installed(log)} (the whole log is {LOG}):\n{tail}")


def why_not_installed(log: str) -> str:
    """What pip's words mean: a package that is not made for this Python, or something else."""
    found = re.search(r"No matching distribution found for ([\w.-]+)", log)
    if found is None or "connection" in log.lower():
        return "the installation failed"
    return (
        f"{found.group(1)} has no build for Python {platform.python_version()} on this system yet: start with another "
        "Python, 3.12 for example, or wait for it"
    )


def pip(arguments: "list[str]") -> int:
    """Run pip's install in the environment: its words go to the log, the important ones are shown."""
    command = [str(environment_python(ENVIRONMENT)), "-m", "pip", "install", "--progress-bar=off", *arguments]
    started = time.monotonic()
    with LOG.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            cwd=str(ROOT),
            env=clean_variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        for line in process.stdout or ():
            log.write(line)
            show_step(line, time.monotonic() - started)
        return process.wait()


def show_step(line: str, elapsed_s: float) -> None:
    """One short line for those of pip's that say how far it is."""
    text = line.strip()
    if text.startswith(STEPS):
        say(f"      {elapsed_s:4.0f} s  {text[:100]}")


def prepare(command: str) -> None:
    """Bring .venv to the state that the command needs; do nothing where it is there."""
    expected = fingerprint(ROOT)
    present = installed_extras(STAMP, expected)
    needed = {NEEDED_EXTRA[command]}
    if ("dev" in present or needed <= present) and is_whole(ENVIRONMENT):
        return
    check_python()
    check_system(NEEDED_EXTRA[command])
    make_environment(ENVIRONMENT)
    install(present | needed)
    write_stamp(STAMP, expected, present | needed)


def run(title: str, *command: str) -> int:
    """Run a program of the environment and return its exit status."""
    say(f"\n== {title}")
    program = environment_python(ENVIRONMENT).with_name(command[0] + (".exe" if os.name == "nt" else ""))
    return subprocess.run([str(program), *command[1:]], cwd=str(ROOT), env=clean_variables()).returncode


def usable_cores() -> int:
    """How many cores this process may use, which can be fewer than there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def side_by_side(cores: int) -> "list[str]":
    """Options with which pytest uses all cores.

    A file's tests stay together, so that what they share is made once, as it is on one core; files keep their order,
    for those with a single long test would otherwise come last and leave the other cores idle.
    """
    return ["-n", str(cores), "--dist", "loadfile", "--no-loadscope-reorder"] if cores > 1 else []


def run_tests(arguments: "list[str]") -> int:
    """All checks, each of them even when one before it fails; with arguments only pytest."""
    if arguments:
        return run("tests (pytest)", "pytest", *arguments)
    results = {"style": run("style (ruff)", "ruff", "check", ".")}
    if sys.version_info >= TYPES_FROM:
        results["types"] = run("types (mypy)", "mypy")
    else:
        say("\n== types (mypy): left out: for this Python NumPy has older types; from Python 3.11 on they are checked")
    results["tests"] = run("tests (pytest)", "pytest", *side_by_side(usable_cores()))
    say("\n== " + ", ".join(f"{name} {'failed' if status else 'passed'}" for name, status in results.items()))
    return max(results.values())


def main(arguments: "list[str]") -> int:
    """Exit status of the whole command."""
    if not arguments or arguments[0] not in NEEDED_EXTRA:
        say(__doc__)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    try:
        check_python()
        prepare(arguments[0])
        if arguments[0] == "test":
            return run_tests(arguments[1:])
        return run("demo", "multitaskseg", *arguments)
    except CannotStart as error:
        sys.stderr.write(f"start.py: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nstart.py: stopped; the same command goes on from here.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
