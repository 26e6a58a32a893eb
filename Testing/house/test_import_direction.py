"""Imports run one way: trainer -> runtime <- scene <- modules."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from Testing.house.import_rules import FORBIDDEN_IMPORTS, RUNTIME, TORCH_FREE, import_cycles, wrong_imports
from Testing.house.source_tree import Source, module_name, product_sources


def modules_under(*prefixes: str) -> list[str]:
    """Dotted names of the product's modules in these places."""
    return [module_name(source.name) for source in product_sources() if source.name.startswith(prefixes)]


def loaded_after_import(modules: list[str], suspects: tuple[str, ...]) -> set[str]:
    """Which suspects a fresh interpreter has loaded once it has imported the modules."""
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(*[name for name in {suspects!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_no_file_imports_against_the_arrows():
    found = [wrong for source in product_sources() for wrong in wrong_imports(source)]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("place", FORBIDDEN_IMPORTS)
@pytest.mark.parametrize(
    "statement",
    [
        "import {}",
        "import {}.deeper as d",
        "from {} import name",
        "def f():\n    from {}.deeper import name",
        "import importlib\nimportlib.import_module('{}')",
    ],
)
def test_an_import_against_the_arrows_would_be_noticed(place: str, statement: str):
    name = place if place.endswith(".py") else f"{place}bad.py"
    for module in FORBIDDEN_IMPORTS[place]:
        assert wrong_imports(Source(name, statement.format(module))), f"{statement.format(module)!r} in {name}"


def test_a_relative_import_against_the_arrows_would_be_noticed():
    assert wrong_imports(Source(f"{RUNTIME}bad.py", "from ..scene import overlay"))
    assert wrong_imports(Source(f"{RUNTIME}bad.py", "from .. import job"))
    assert wrong_imports(Source(f"{RUNTIME}good.py", "from . import volume")) == []


def test_no_two_files_import_each_other():
    assert import_cycles(product_sources()) == []


def test_a_cycle_would_be_noticed():
    ring = [
        Source("trainer/a.py", "from trainer.b import x"),
        Source("trainer/b.py", "def late():\n    from trainer import c"),
        Source("trainer/c.py", "import trainer.a"),
        Source("trainer/d.py", "import trainer.a"),
    ]
    assert import_cycles(ring) == ["trainer.a", "trainer.b", "trainer.c"]


def test_loading_the_runtime_loads_nothing_of_slicer_or_the_trainer():
    modules = modules_under(RUNTIME)
    assert modules
    assert loaded_after_import(modules, ("slicer", "vtk", "vtkmodules", "qt", "ctk", "trainer", "matplotlib")) == set()


def test_loading_the_job_does_not_load_torch_or_slicer():
    modules = modules_under(*(f"MultiTaskSeg/MultiTaskSegLib/{name}.py" for name in TORCH_FREE))
    assert loaded_after_import(modules, ("torch", "slicer", "vtk", "trainer")) == set()


def test_loading_the_scene_code_does_not_load_torch():
    if importlib.util.find_spec("slicer") is None:
        pytest.skip("slicer-core is not installed")
    modules = modules_under("MultiTaskSeg/MultiTaskSegLib/scene/")
    assert loaded_after_import(modules, ("torch", "trainer")) == set()


def test_the_check_of_loaded_modules_can_fail():
    assert loaded_after_import(["json"], ("json", "torch")) == {"json"}
    assert loaded_after_import(["xml.dom.minidom"], ("xml",)) == {"xml"}
