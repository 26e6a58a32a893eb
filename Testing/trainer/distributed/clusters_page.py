"""What docs/clusters.md gives to be copied."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from Testing.pages.page_commands import FENCE

REPOSITORY = Path(__file__).resolve().parents[3]
BLOCKS = [block for _, block in FENCE.findall((REPOSITORY / "docs" / "clusters.md").read_text(encoding="utf-8"))]
SCRIPT = next(block for block in BLOCKS if block.startswith("#!"))
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(next(b for b in BLOCKS if b.startswith("apiVersion"))))


def requests() -> list[list[str]]:
    """The words after each torchrun."""
    job = OBJECTS[1]["spec"]["template"]["spec"]["containers"][0]["command"]
    blocks = [block.replace("\\\n", " ") for block in BLOCKS if not block.startswith("apiVersion")]
    lines = [line for block in blocks for line in block.splitlines() if "torchrun " in line]
    return [job[1:], *(shlex.split(line.partition("torchrun ")[2]) for line in lines)]
