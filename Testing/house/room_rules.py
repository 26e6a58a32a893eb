"""The rooms of the house: which packages there are, how full they are, and which arrows run between them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from Testing.house.import_rules import imported_modules
from Testing.house.source_tree import Source, module_name

MAX_FILES = 20
# Files that lie directly in one of these are doors or shared by all rooms; each counts as a room of its own.
HALLS = ("MultiTaskSegLib", "MultiTaskSegLib.runtime", "trainer", "")


def crowded(files: Iterable[Source]) -> list[str]:
    """Folders with more Python files than anyone takes in at a glance."""
    counts: dict[str, int] = {}
    for source in files:
        folder = PurePosixPath(source.name).parent.as_posix()
        counts[folder] = counts.get(folder, 0) + 1
    return [f"{folder}: {count} Python files" for folder, count in sorted(counts.items()) if count > MAX_FILES]


def nameless(files: Iterable[Source]) -> list[str]:
    """Packages whose ``__init__`` does not say in one line what lives there, or does anything else."""
    found = []
    for source in files:
        if source.name.endswith("/__init__.py") and module_name(source.name) not in ("MultiTaskSegLib", "OODCheckLib"):
            body = source.tree.body
            if len(body) != 1 or source.text.count("\n") != 1 or not source.text.startswith('"""'):
                found.append(f"{source.name}: one line that says what lives here, and nothing else")
    return found


def room(module: str, is_package: bool = False) -> str:
    """The room of a module: its package, or the module itself where it lies in a hall.

    >>> room("MultiTaskSegLib.runtime.image.volume")
    'MultiTaskSegLib.runtime.image'
    >>> room("MultiTaskSegLib.runtime.predictor")
    'MultiTaskSegLib.runtime.predictor'
    """
    package = module if is_package else module.rpartition(".")[0]
    return module if package in HALLS else package


def arrows(files: Iterable[Source]) -> dict[str, set[str]]:
    """By room, the other rooms that it imports from."""
    by_module = {module_name(source.name): source for source in files}
    found: dict[str, set[str]] = {}
    for module, source in by_module.items():
        here = room(module, source.name.endswith("/__init__.py"))
        targets = found.setdefault(here, set())
        for _, name in imported_modules(source):
            if name in by_module and not by_module[name].name.endswith("/__init__.py"):
                targets.add(room(name))
        targets.discard(here)
    return found


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Rooms from which a way along the arrows leads back."""
    return [start for start in sorted(graph) if start in reached(graph, start)]


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """Every room that the arrows lead to from a room, directly or through others."""
    found: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph.get(name, ())
    return found
