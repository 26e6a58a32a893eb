"""Which state of the source code made a result."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What the figures depend on.
SOURCES = ("trainer", "MultiTaskSeg/MultiTaskSegLib/runtime")


def source_commit(root: Path = ROOT) -> str | None:
    """Hash of the checked-out commit, with ``+changes`` when the sources differ from it; None outside a checkout."""
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return None
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *SOURCES)
    return f"{head}+changes" if changed else head


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
