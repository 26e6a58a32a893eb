"""Which part of the house may import which."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from Testing.house.source_tree import REPOSITORY, Source, module_name

SLICER = ("slicer", "vtk", "vtkmodules", "qt", "ctk", "sitkUtils", "mrml")
TORCH_FREE = (
    "batch",
    "batch_table",
    "chosen_model",
    "image_folder",
    "job",
    "job_result",
    "lease",
    "process_tree",
    "result_folder",
    "task_list",
    "typed_error",
    "verdict_words",
    "volume_file",
    "worker_process",
)
# All of the library but the runtime.
ABOVE_RUNTIME = tuple(
    f"MultiTaskSegLib.{name}"
    for name in (
        *TORCH_FREE,
        "background_call",
        "gallery",
        "handover",
        "headless",
        "picture",
        "interpreter",
        "scene",
        "panel",
        "catalogue",
        "registration",
        "installation",
        "correction",
        "dataset",
        "learning",
        "loop",
    )
)
RUNTIME = "MultiTaskSeg/MultiTaskSegLib/runtime/"
CLUSTER = ("ray", "pyarrow")
COHORT = "MultiTaskSegLib.cohort"
# The command line alone leads to cohorts: nothing that runs inside Slicer's worker does.
RUNTIME_WITHOUT_CLI = [
    f"{RUNTIME}{path.name}{'/' * path.is_dir()}"
    for path in sorted((REPOSITORY / RUNTIME).iterdir())
    if path.name[0] != "_" and path.name != "cli.py"
]
FORBIDDEN_IMPORTS = {
    RUNTIME: (*SLICER, *CLUSTER, "trainer", "matplotlib", "OODCheckLib", *ABOVE_RUNTIME),
    **dict.fromkeys(RUNTIME_WITHOUT_CLI, (COHORT,)),
    "trainer/": (*SLICER, "OODCheckLib", COHORT, *ABOVE_RUNTIME),
    "MultiTaskSeg/MultiTaskSegLib/cohort/": (*SLICER, "trainer", "OODCheckLib"),
    "MultiTaskSeg/MultiTaskSegLib/scene/": ("torch", "trainer"),
    **{
        f"MultiTaskSeg/MultiTaskSegLib/{room}/": ("torch", "trainer")
        for room in ("panel", "catalogue", "registration", "installation", "correction", "loop")
    },
    **{
        f"MultiTaskSeg/MultiTaskSegLib/{room}/": ("torch", "trainer", *SLICER)
        for room in ("dataset", "gallery", "learning", "picture")
    },
    **{f"MultiTaskSeg/MultiTaskSegLib/{name}.py": ("torch", "trainer", *SLICER) for name in TORCH_FREE},
    "MultiTaskSeg/MultiTaskSegLib/handover/": ("torch", "trainer", COHORT),
    "MultiTaskSeg/MultiTaskSegLib/interpreter/": ("torch", "trainer", *SLICER),
    "MultiTaskSeg/MultiTaskSeg.py": ("torch", "trainer"),
    "OODCheck/": ("torch", "trainer"),
}


def imported_modules(source: Source) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a file imports, by statement or by ``import_module("name")``."""
    package = module_name(source.name).split(".")
    if not source.name.endswith("/__init__.py"):
        package = package[:-1]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, stem
            # "from package import module" imports the module as well
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            literals = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            yield from ((node.lineno, value) for value in literals if isinstance(value, str))


def wrong_imports(source: Source) -> list[str]:
    """Imports against the arrows ``trainer -> runtime <- scene <- modules``."""
    banned = {name for prefix, names in FORBIDDEN_IMPORTS.items() if source.name.startswith(prefix) for name in names}
    return [
        f"{source.name}:{line} imports {module}"
        for line, module in imported_modules(source)
        if any(module == name or module.startswith(f"{name}.") for name in banned)
    ]


def import_cycles(files: Iterable[Source]) -> list[str]:
    """Groups of files that import each other, directly or around a corner."""
    by_module = {module_name(source.name): source for source in files}
    graph = {
        module: {name for _, name in imported_modules(source) if name in by_module and name != module}
        for module, source in by_module.items()
    }
    # A package's own __init__ is imported with each of its modules: an arrow to it says nothing.
    graph = {module: {name for name in names if not module.startswith(f"{name}.")} for module, names in graph.items()}
    cycles = []
    for start in graph:
        reached: set[str] = set()
        waiting = list(graph[start])
        while waiting:
            module = waiting.pop()
            if module not in reached:
                reached.add(module)
                waiting += graph[module]
        if start in reached:
            cycles.append(start)
    return cycles
