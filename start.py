#!/usr/bin/env python3
"""Two commands from a bare clone, with nothing but Python 3.10 or newer and git.

    python3 start.py demo               the whole story on data it makes itself, with pictures
    python3 start.py test               all tests on all cores, the style check and the type check
    python3 start.py test -k geometry   only these tests, one after the other; what follows goes to pytest

The first run makes a virtual environment in the folder .venv beside this file and installs the package there, which
downloads about 0.7 GB and takes 3 GB of disk (more where torch comes with GPU libraries). Later runs use it as it is,
until pyproject.toml or constraints.txt change.
"""

# Standard library only, and no syntax newer than Python 3.6: an old interpreter must reach the sentence that says so.

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "multitaskseg-stamp.json"
LOG = ENVIRONMENT / "install.log"
OLDEST_PYTHON = (3, 10)
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
    """Extras that a finished installation of the same fingerprint holds; none after a change or an interruption."""
    try:
        content = json.loads(stamp.read_text(encoding="utf-8"))
        return set(content["extras"]) if content["fingerprint"] == expected else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def write_stamp(stamp: Path, expected: str, extras: "set[str]") -> None:
    """Record a finished installation; the file appears whole or not at all."""
    part = stamp.with_suffix(".part")
    part.write_text(json.dumps({"fingerprint": expected, "extras": sorted(extras)}), encoding="utf-8")
    part.replace(stamp)


def has_pip(environment: Path) -> bool:
    """Whether the environment is whole. Raise CannotStart where its Python is too old."""
    python = environment_python(environment)
    if not python.exists():
        return False
    probe = f"import sys, pip; sys.exit(0 if sys.version_info >= {OLDEST_PYTHON} else 10)"
    status = subprocess.run([str(python), "-c", probe], stderr=subprocess.DEVNULL, env=clean_variables()).returncode
    if status == 10:
        raise CannotStart(f"{environment} belongs to a Python older than 3.10: delete that folder and start again.")
    return status == 0


def make_environment(environment: Path) -> None:
    """Make the virtual environment where there is none that works."""
    if has_pip(environment):
        return
    say(f"[1/2] making the virtual environment in {environment}")
    command = [sys.executable, "-m", "venv", str(environment)]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_variables())
    if made.returncode != 0:
        raise CannotStart(
            f"the virtual environment could not be made in {environment}: check free disk space and rights, and on "
            f"Debian or Ubuntu run 'apt install python3-venv'.\n{made.stdout.decode(errors='replace')}"
        )


def install(extras: "set[str]") -> None:
    """Install the package in place with its extras, showing one line of progress per package."""
    names = ",".join(sorted(extras))
    say(f"[2/2] installing multitaskseg[{names}]: 0.7 GB or more to download the first time")
    command = [str(environment_python(ENVIRONMENT)), "-m", "pip", "install", "--progress-bar=off"]
    command += ["--constraint", "constraints.txt", "--editable", f".[{names}]"]
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
        status = process.wait()
    if status != 0:
        tail = "".join(LOG.read_text(encoding="utf-8").splitlines(keepends=True)[-15:])
        raise CannotStart(f"the installation failed (the whole log is {LOG}):\n{tail}")


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
    if environment_python(ENVIRONMENT).exists() and ("dev" in present or needed <= present):
        return
    check_python()
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
    results = {
        "style": run("style (ruff)", "ruff", "check", "."),
        "types": run("types (mypy)", "mypy"),
        "tests": run("tests (pytest)", "pytest", *side_by_side(usable_cores())),
    }
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
