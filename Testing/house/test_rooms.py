"""Rooms are small, say what lives in them, import one way, and the tests and the plan of the house follow them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from Testing.house.room_rules import MAX_FILES, arrows, circles, crowded, nameless, room
from Testing.house.source_tree import Source, module_name, product_sources, tracked_files

RUNTIME, TRAINER = "MultiTaskSeg/MultiTaskSegLib/runtime/", "trainer/"
DOORS = {"__init__.py", "cli.py", "errors.py", "image_file.py", "predictor.py", "worker.py"}


def folders(prefix: str) -> set[str]:
    """Packages below a folder of the product, relative to it."""
    names = (source.name.removeprefix(prefix) for source in product_sources() if source.name.startswith(prefix))
    return {name.removesuffix("/__init__.py") for name in names if name.endswith("/__init__.py")}


def test_no_folder_of_the_product_holds_more_than_twenty_files():
    assert MAX_FILES == 20
    assert crowded(product_sources()) == []


def test_a_crowded_folder_would_be_noticed():
    files = [Source(f"trainer/room/f{number}.py", "") for number in range(21)]
    assert crowded(files[:20]) == []
    assert crowded(files) == ["trainer/room: 21 Python files"]


def test_each_package_says_in_one_line_what_lives_in_it():
    assert nameless(product_sources()) == []


@pytest.mark.parametrize("text", ["", '"""A room."""\nimport os\n', '"""A room.\n\nMore."""\n', "# A room\n"])
def test_a_package_that_says_nothing_or_does_something_would_be_noticed(text: str):
    assert nameless([Source("trainer/room/__init__.py", '"""A room."""\n')]) == []
    assert nameless([Source("trainer/room/__init__.py", text)])


def test_at_the_top_of_the_runtime_there_are_only_doors():
    top = {s.name.removeprefix(RUNTIME) for s in product_sources() if s.name.startswith(RUNTIME)}
    assert {name for name in top if "/" not in name} == DOORS


def test_between_rooms_imports_run_one_way():
    assert circles(arrows(product_sources())) == []


def test_a_circle_of_rooms_would_be_noticed_although_no_two_files_import_each_other():
    files = [
        Source("trainer/data/a.py", "from trainer.report.b import x"),
        Source("trainer/report/b.py", ""),
        Source("trainer/report/c.py", "def late():\n    from trainer.data import d"),
        Source("trainer/data/d.py", ""),
        Source("trainer/cli.py", "from trainer.data.a import x"),
    ]
    assert circles(arrows(files)) == ["trainer.data", "trainer.report"]
    assert circles(arrows(files[:2] + files[3:])) == []


def test_a_file_in_a_hall_is_a_room_of_its_own():
    assert room("trainer.config") == "trainer.config"
    assert room("trainer.ood.fault.artefact") == "trainer.ood.fault"


@pytest.mark.parametrize(("product", "tests"), [(RUNTIME, "Testing/runtime/"), (TRAINER, "Testing/trainer/")])
def test_the_tests_lie_in_rooms_of_the_same_names(product: str, tests: str, repository: Path):
    relative = (path.relative_to(repository).as_posix() for path in tracked_files(f"{tests}*.py", also_new=True))
    tested = {name.removeprefix(tests).rpartition("/")[0] for name in relative} - {""}
    assert tested - folders(product) == set()
    assert folders(product) - tested == set()


def section_of(page: str, prefix: str) -> str:
    """What a page says below the heading of a folder."""
    return page.split(f"### `{prefix}`", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]


def rows_of(section: str) -> dict[str, tuple[str, set[str]]]:
    """By room, what lives there and what it imports from: the table's rows."""
    rows = re.findall(r"^\| `([\w/]+)` \| ([^|]+) \| ([^|]*) \|$", section, flags=re.MULTILINE)
    return {name: (text, set(re.findall(r"`([\w/]+)`", cell))) for name, text, cell in rows}


@pytest.mark.parametrize("prefix", [RUNTIME, TRAINER])
def test_the_plan_of_the_house_shows_the_rooms_and_arrows_as_they_are(prefix: str, repository: Path):
    short = prefix.removeprefix("MultiTaskSeg/").rstrip("/")
    shown = rows_of(section_of((repository / "docs" / "architecture.md").read_text("utf-8"), short))
    base = f"{short.replace('/', '.')}."
    real = arrows(product_sources())
    said = {module_name(s.name): s.text.strip().strip('"').rstrip(".") for s in product_sources()}
    assert set(shown) == folders(prefix)
    for name, (text, targets) in shown.items():
        room_name = base + name.replace("/", ".")
        assert text == said[room_name], name
        inside = {target.removeprefix(base).replace(".", "/") for target in real[room_name] if target.startswith(base)}
        assert targets == inside & set(shown), name
