"""The product's own Python files, parsed."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, cached_property
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """One Python file: where it is (relative, with forward slashes) and what it says."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text, filename=self.name)

    @property
    def line_count(self) -> int:
        """Physical lines."""
        return self.text.count("\n") + 1

    @property
    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def tracked_files(*patterns: str, also_new: bool = False) -> list[Path]:
    """Files that belong to the repository, or are about to; those of an unpacked archive where there is no git."""
    new = ["--cached", "--others", "--exclude-standard"] if also_new else []
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z", *new, "--", *patterns]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
        found = [REPOSITORY / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        hidden = {".venv", ".git", "build", "dist", "__pycache__"}
        every = [path for path in REPOSITORY.rglob("*") if not hidden & set(path.parts)]
        found = [path for path in every if matches(path.relative_to(REPOSITORY).as_posix(), patterns)]
    return [path for path in found if path.is_file()]


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether git would list a file for these patterns: its ``*`` crosses slashes, no pattern means all.

    >>> matches("Testing/runtime/image/test_volume.py", ("Testing/runtime/*.py",))
    True
    """
    return not patterns or any(fnmatch(name, pattern) for pattern in patterns)


@cache
def sources() -> tuple[Source, ...]:
    """Every Python file of the repository, read and parsed once for all rules."""
    found = tracked_files("*.py")
    return tuple(Source(path.relative_to(REPOSITORY).as_posix(), path.read_text("utf-8")) for path in found)


@cache
def product_sources() -> tuple[Source, ...]:
    """Every Python file except the tests."""
    return tuple(source for source in sources() if not source.name.startswith("Testing/"))


def module_name(source_name: str) -> str:
    """The dotted name under which a product file is imported.

    >>> module_name("MultiTaskSeg/MultiTaskSegLib/runtime/__init__.py")
    'MultiTaskSegLib.runtime'
    """
    parts = source_name.removesuffix(".py").removesuffix("/__init__").split("/")
    return ".".join(parts[1:] if parts[0] in ("MultiTaskSeg", "OODCheck") else parts)
