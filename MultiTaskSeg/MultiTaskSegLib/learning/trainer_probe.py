"""Says which packages that a training needs are missing in the Python that runs this file. Imports none of them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys

TRAINER = "trainer.pretraining.finetune"  # "trainer" alone is the name of other packages, too
NEEDED = (TRAINER, "MultiTaskSegLib", "torch", "SimpleITK", "safetensors", "matplotlib", "yaml", "sklearn")


def missing() -> list[str]:
    """Names of those that cannot be found; the trainer's own is ``trainer``."""
    return [name.partition(".")[0] for name in NEEDED if not is_there(name)]


def is_there(name: str) -> bool:
    """Whether a module can be found."""
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


def version() -> str:
    """Of the installed package; empty where it runs from its sources."""
    try:
        return importlib.metadata.version("multitaskseg")
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"missing": missing(), "version": version(), "prefix": sys.prefix}) + "\n")
