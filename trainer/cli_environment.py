"""What the command line meets: patterns that the shell did not expand, names of models, places, missing packages."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from MultiTaskSegLib.runtime.errors import UsageError, printable
from MultiTaskSegLib.runtime.machine.atomic_file import require_place
from MultiTaskSegLib.runtime.machine.file_pattern import expanded
from MultiTaskSegLib.runtime.model import released
from MultiTaskSegLib.runtime.model.model_folder import ENDING
from MultiTaskSegLib.runtime.model.released import named_model
from trainer.distributed.started import started_together

EXTRA_OF = {
    "matplotlib": "trainer",
    "mpl_toolkits": "trainer",
    "sklearn": "trainer",
    "tomli": "trainer",
    "yaml": "trainer",
    "torchio": "benchmark",
    "ray": "cluster",
}

MODEL_OPTIONS = ("model", "models", "ensemble", "start")


def tell(*lines: str) -> None:
    """Write lines for people to standard output.

    Names in them come from files and may hold anything: none begins a line of its own or moves a terminal's cursor.
    """
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))


def expand_patterns(options: argparse.Namespace) -> None:
    """Replace patterns such as ``Dataset*`` in every list of paths by what they match: Windows' shells do not.

    Raises:
        UsageError: nothing matches a pattern.
    """
    for name, value in vars(options).items():
        if isinstance(value, list) and value and all(isinstance(entry, Path) for entry in value):
            setattr(options, name, expanded(value))


def find_models(options: argparse.Namespace) -> None:
    """Replace names of the list of models (``multitaskseg models``) by their files, wherever models are asked for.

    Raises:
        ModelError, ResourceError: as `named_model`.
    """
    for name in MODEL_OPTIONS:
        asked = getattr(options, name, None)
        if isinstance(asked, list):
            setattr(options, name, [named_model(str(path)) for path in asked])
        elif isinstance(asked, Path):
            setattr(options, name, named_model(str(asked)))


def require_model_place(path: Path) -> None:
    """Refuse a place where no model may be written, before anything is computed for it.

    Raises:
        UsageError: it has not the ending of a model file, or is a released model.
        ResourceError: it cannot be written.
    """
    if not path.name.endswith(ENDING):
        raise UsageError(f"the model file {path.name} does not end in {ENDING}", remedy=f"Name it MODEL{ENDING}")
    require_not_released(path)
    require_place(path)


def require_not_released(path: Path) -> None:
    """Refuse to write over a model that came with the program.

    Raises:
        UsageError: it is one.
    """
    # Some file systems take capital letters for small ones, so the spelling does not tell.
    if path.exists() and any(own.exists() and path.samefile(own) for own in released.released_models()):
        raise UsageError("a released model is not replaced", file=path, remedy="Name another file with -o")


def require_one_process(options: argparse.Namespace) -> None:
    """Refuse to do one and the same thing in several processes, which would write the same files.

    Raises:
        UsageError: ``torchrun`` has started several for a command that they cannot share.
    """
    # Of a single one there is nothing to fear; platforms for machine learning name one on their own.
    is_alone = os.environ.get("WORLD_SIZE") == "1"
    if not getattr(options, "several_processes", False) and started_together() and not is_alone:
        raise UsageError(
            "torchrun is for 'train'; this command runs in one process",
            remedy="Start it without torchrun, or without the variables RANK and WORLD_SIZE",
        )


def missing_package(error: ModuleNotFoundError) -> UsageError:
    """Which part of the installation a missing module belongs to, and how to add it.

    Raises:
        ModuleNotFoundError: the module is of no extra, so that this is a fault of the program.
    """
    module = (error.name or "").split(".")[0]
    if module not in EXTRA_OF:
        raise error
    extra = EXTRA_OF[module]
    return UsageError(
        f"this command needs the package {module}, which is not installed",
        remedy=f"Run 'pip install \".[{extra}]\"' in the checkout",
    )
