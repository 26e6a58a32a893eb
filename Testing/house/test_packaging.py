"""Every file of a module reaches the packaged Slicer extension: what CMake does not list is left out in silence."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from Testing.house.source_tree import REPOSITORY, tracked_files

MODULES = ("MultiTaskSeg", "OODCheck")
OLDEST_PYTHON = (3, 10)  # of the command line; Slicer 5.10, the oldest that is supported, has 3.12
NOT_PACKAGED = ("CMakeLists.txt", ".md", ".gitkeep", ".gitignore")


def listed_files(cmake: str, module: str) -> set[str]:
    """File names in the ``set(MODULE_PYTHON_...)`` lists of a module's CMakeLists.txt."""
    names: set[str] = set()
    for block in re.findall(r"set\(MODULE_PYTHON_\w+\s(.*?)\)", cmake, flags=re.DOTALL):
        lines = [line.split("#")[0].strip() for line in block.splitlines()]
        names |= {name.replace("${MODULE_NAME}", module) for line in lines for name in line.split()}
    return names


def packaging_errors(cmake: str, module: str, present: set[str]) -> list[str]:
    """Files that are not listed, and listed files that do not exist."""
    listed = listed_files(cmake, module)
    return sorted([f"not listed: {name}" for name in present - listed] + [f"missing: {n}" for n in listed - present])


def module_files(module: str) -> set[str]:
    """Files of a module, relative to its folder."""
    folder = REPOSITORY / module
    found = tracked_files(f"{module}/*", also_new=True)
    files = (path.relative_to(folder).as_posix() for path in found if folder in path.parents)
    return {name for name in files if not name.endswith(NOT_PACKAGED)}


@pytest.mark.parametrize("module", MODULES)
def test_cmake_lists_every_file_of_a_module(module: str):
    cmake = REPOSITORY / module / "CMakeLists.txt"
    found = packaging_errors(cmake.read_text("utf-8"), module, module_files(module))
    assert found == [], "\n".join(found)


def test_a_forgotten_or_vanished_file_would_be_noticed():
    cmake = "set(MODULE_PYTHON_SCRIPTS\n  ${MODULE_NAME}.py  # main\n  Gone.py\n  )"
    present = {"MultiTaskSeg.py", "MultiTaskSegLib/forgotten.py"}
    assert packaging_errors(cmake, "MultiTaskSeg", present) == [
        "missing: Gone.py",
        "not listed: MultiTaskSegLib/forgotten.py",
    ]


def test_both_modules_are_part_of_the_extension(repository: Path):
    extension = (repository / "CMakeLists.txt").read_text("utf-8")
    assert all(f"add_subdirectory({module})" in extension for module in MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_every_packaged_file_is_python_that_the_oldest_supported_version_understands(module: str):
    for name in sorted(module_files(module)):
        if name.endswith(".py"):
            ast.parse((REPOSITORY / module / name).read_text("utf-8"), name, feature_version=OLDEST_PYTHON)


def test_syntax_of_a_later_version_would_be_noticed():
    with pytest.raises(SyntaxError):
        ast.parse("try:\n    pass\nexcept* ValueError:\n    pass", feature_version=OLDEST_PYTHON)
