"""What the command line meets: patterns that the shell did not expand, names of models, packages that are not there."""

from __future__ import annotations

import argparse
from pathlib import Path

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.machine.file_pattern import expanded
from MultiTaskSegLib.runtime.model.released import named_model

EXTRA_OF = {
    "matplotlib": "trainer",
    "mpl_toolkits": "trainer",
    "sklearn": "trainer",
    "tomli": "trainer",
    "yaml": "trainer",
    "torchio": "benchmark",
    "ray": "cluster",
}


def expand_patterns(options: argparse.Namespace) -> None:
    """Replace patterns such as ``Dataset*`` in every list of paths by what they match: Windows' shells do not.

    Raises:
        UsageError: nothing matches a pattern.
    """
    for name, value in vars(options).items():
        if isinstance(value, list) and value and all(isinstance(entry, Path) for entry in value):
            setattr(options, name, expanded(value))


def find_models(options: argparse.Namespace) -> None:
    """Replace names of the list of models (``multitaskseg models``) in ``-m`` by their files.

    Raises:
        ModelError, ResourceError: as `named_model`.
    """
    asked = getattr(options, "model", None)
    if isinstance(asked, list):
        options.model = [named_model(str(path)) for path in asked]
    elif isinstance(asked, Path):
        options.model = named_model(str(asked))


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
