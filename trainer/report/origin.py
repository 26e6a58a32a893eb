"""Where published figures come from: command, commit and machine, without what names a person or a computer."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from MultiTaskSegLib.runtime.machine.processor import processor_name
from trainer.report.source_commit import source_commit

PACKAGES = ("torch", "numpy", "scipy", "monai", "nnunetv2", "openvino")


def origin(program: str, words: Sequence[str] | None, threads: int = 0) -> dict[str, Any]:
    """The fields ``command``, ``commit`` and ``machine`` of a published JSON file.

    Args:
        program: what was called, for example ``python -m trainer``.
        words: its arguments (None: those of this process); of paths only the last part is kept.
        threads: that computed; 0: as many as the libraries take.
    """
    command = " ".join([program, *map(shown_word, sys.argv[1:] if words is None else words)])
    return {"command": command, "commit": source_commit(), "machine": machine_facts(threads)}


def shown_word(word: str) -> str:
    r"""An argument without the folders of whoever ran the command.

    >>> shown_word("/data/Dataset101_A"), shown_word("--data"), shown_word(r"D:\data\a.json")
    ('Dataset101_A', '--data', 'a.json')
    >>> shown_word("--json=/data/a.json")
    '--json=a.json'
    """
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{PureWindowsPath(PurePosixPath(value).name).name or value}"


def machine_facts(threads: int) -> dict[str, Any]:
    """Processor, instruction sets, cores, system and versions: what a reader has to know of a measurement."""
    import torch

    return {
        "processor": processor_name(),
        "torch_cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_average": [round(value, 1) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
