"""Mutation points of small sources, counted by hand."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from Testing.bench.mutation.mutant import points
from Testing.bench.mutation.sample import ROOMS, sample, shares


def mutated(source: str, operator: str | None = None) -> list[list[str]]:
    """For every point, in order, the texts of the whole file with each of its alternatives."""
    content = source.encode()
    return [
        [mutant.applied(content).decode() for mutant in point]
        for point in points("room/file.py", content)
        if operator in (None, point[0].operator)
    ]


@pytest.mark.parametrize(
    ("operator", "source", "expected"),
    [
        ("comparison", "x = a < b", [["x = (a <= b)", "x = (a >= b)"]]),
        ("comparison", "x = a >= b", [["x = (a > b)", "x = (a < b)"]]),
        ("comparison", "x = a != b", [["x = (a == b)"]]),
        ("comparison", "x = a is None", [["x = (a is not None)"]]),
        (
            "comparison",
            "x = a < b < c",
            [["x = (a <= b < c)", "x = (a >= b < c)", "x = (a < b <= c)", "x = (a < b >= c)"]],
        ),
        ("arithmetic", "x = a + b * c", [["x = (a - b * c)"], ["x = a + (b / c)"]]),
        ("arithmetic", "x = a / b ** c", [["x = (a * b ** c)"], ["x = a / (b * c)"]]),
        ("arithmetic", "x -= a", [["x += a"]]),
        ("arithmetic", "x = 'text' + a", []),
        ("and/or", "x = a and b or c", [["x = ((a and b) and c)"], ["x = (a or b) or c"]]),
        ("not dropped", "x = not a", [["x = (a)"]]),
        ("constant", "x = 3", [["x = 4", "x = 6", "x = 0"]]),
        ("constant", "x = 1", [["x = 2", "x = 0"]]),
        ("constant", "x = 0.0", [["x = 1.0"]]),
        ("constant", "x = True", [["x = False"]]),
        ("constant", "x = 'text'", []),
        ("constant", "x = a[1:b]", []),
        ("return value", "def f():\n    return a", [["def f():\n    return None"]]),
        ("return value", "def f():\n    return", []),
        ("return value", "def f():\n    return None", []),
        ("call dropped", "def f():\n    g(a)\n    b = g(a)", [["def f():\n    pass\n    b = g(a)"]]),
        ("min/max", "x = min(a, b)", [["x = max(a, b)"]]),
        ("min/max", "x = a.max(axis=b)", [["x = a.min(axis=b)"]]),
        ("arguments swapped", "x = f(a, b, c)", [["x = f(b, a, c)", "x = f(a, c, b)"]]),
        ("arguments swapped", 'x = f("a", "a")', []),
        ("arguments swapped", "x = f(*a, b)", []),
        ("arguments swapped", "x = max(a, b)", []),
        ("condition", "if a:\n    b = c", [["if (not (a)):\n    b = c"]]),
        ("condition", "x = b if a else c", [["x = b if (not (a)) else c"]]),
        ("condition", "if a == b:\n    pass\nif not a:\n    pass", []),
        ("slice bound", "x = a[1:b]", [["x = a[((1) + 1):b]", "x = a[1:((b) + 1)]"]]),
    ],
)
def test_an_operator_makes_exactly_the_changes_it_stands_for(operator: str, source: str, expected: list[list[str]]):
    assert mutated(source, operator) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A text."""',
        "x: Array[3] = a",
        "def f(x: Literal[1] = a) -> Literal[2]: ...",
        "@dataclass(frozen=True)\nclass C:\n    '''Text.'''",
        "__all__ = [f(1)]",
        "if TYPE_CHECKING:\n    x = 1",
        "if __name__ == '__main__':\n    main(1)",
        "def f():\n    raise ValueError(1 + 2)",
        "logging.info(1)",
        "logger.warning('%d', 1 + 2)",
        "x = f'{a + 1}'",
        "class C:\n    def __repr__(self):\n        return a + 1",
        "x = cast(a, b)",
        "assert a, b + 1",
    ],
)
def test_what_no_test_can_be_asked_to_notice_is_left_out(source: str):
    assert mutated(source) == []


def test_letters_of_several_bytes_and_brackets_do_not_shift_the_change():
    source = "ü = '×'; σ = (a +\n    # why\n    b)\nπ = 2  # ≠"
    assert mutated(source, "arithmetic") == [["ü = '×'; σ = ((a - b))\nπ = 2  # ≠"]]
    assert mutated(source, "constant")[-1][0] == source.replace("2", "3")


def test_lines_inside_a_function_are_told_from_those_that_run_at_import():
    source = "A = 1\nclass C:\n    b = 2\n    def f(self, c=3):\n        return 4\nd = lambda: 5\n"
    constants = {m[0].before: m[0] for m in points("a.py", source.encode()) if m[0].operator == "constant"}
    assert {value: mutant.at_import for value, mutant in constants.items()} == {
        "1": True, "2": True, "3": True, "4": False, "5": False,
    }  # fmt: skip


def test_the_lines_of_a_change_are_those_of_its_statement_without_the_block_that_it_heads():
    source = "def f():\n    if (a and\n        b):\n        c = 1\n        d(\n            2,\n        )\n"
    found = {p[0].operator + p[0].before[0]: (p[0].first_line, p[0].last_line) for p in points("a.py", source.encode())}
    assert found["and/ora"] == (2, 3)
    assert found["constant1"] == (4, 4)
    assert found["constant2"] == (5, 7)


def test_every_mutant_of_a_whole_file_is_valid_and_differs_from_the_code(repository: Path):
    name = "MultiTaskSeg/MultiTaskSegLib/runtime/labels/largest_class.py"
    content = (repository / name).read_bytes()
    found = [mutant for point in points(name, content) for mutant in point]
    assert len(found) > 20
    for mutant in found:
        assert ast.dump(ast.parse(mutant.applied(content))) != ast.dump(ast.parse(content)), mutant


def test_each_of_the_seven_rooms_has_mutation_points(repository: Path):
    folders = {room: (repository / folder).glob("*.py") for room, folder in ROOMS.items()}
    assert len(folders) == 7
    for room, paths in folders.items():
        largest = max(paths, key=lambda path: path.stat().st_size)
        assert next(points(largest.name, largest.read_bytes()), None), room


def toy(*sizes: int) -> dict[str, list]:
    """Rooms of so many points."""
    rooms = (list(points(f"{number}.py", "\n".join(f"x = {n}" for n in range(3, 3 + size)).encode()))
             for number, size in enumerate(sizes))  # fmt: skip
    return {f"room {number}": found for number, found in enumerate(rooms)}


def test_the_seed_fixes_the_sample_and_another_seed_draws_another():
    rooms = toy(200, 100)
    first = sample(rooms, 30, seed=0)
    assert first == sample(rooms, 30, seed=0)
    assert {m.id for _, m in first} != {m.id for _, m in sample(rooms, 30, seed=1)}


def test_each_room_has_its_share_and_no_point_is_drawn_twice():
    drawn = sample(toy(60, 30, 10), 50, seed=0)
    assert [sum(room == f"room {n}" for room, _ in drawn) for n in range(3)] == [30, 15, 5]
    assert len({(m.file, m.start) for _, m in drawn}) == 50


def test_all_alternatives_of_a_point_are_drawn_alike():
    # 3 -> 4, 6, 0: of 600 draws of one alternative each a third is expected, with a standard deviation of 11.5.
    rooms = {"room": list(points("a.py", "\n".join(["x = 3"] * 600).encode()))}
    after = [mutant.after for _, mutant in sample(rooms, 600, seed=0)]
    assert {text: abs(after.count(text) - 200) < 60 for text in ("4", "6", "0")} == {"4": True, "6": True, "0": True}


def test_no_more_than_all_points_are_drawn():
    assert len(sample(toy(4, 2), 100, seed=0)) == 6


@pytest.mark.parametrize("count", [0, 1, 7, 99, 100])
def test_the_shares_add_up_and_none_is_a_whole_mutant_away_from_its_proportion(count: int):
    sizes = {"a": 861, "b": 650, "c": 361, "d": 419}
    found = shares(sizes, count)
    assert sum(found.values()) == count
    assert all(abs(found[name] - count * size / 2291) < 1 for name, size in sizes.items())


def test_what_is_left_over_goes_to_the_largest_remainder():
    # 3.5, 2.1 and 1.4 of seven.
    assert shares({"a": 50, "b": 30, "c": 20}, 7) == {"a": 4, "b": 2, "c": 1}
