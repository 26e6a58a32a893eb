"""What the outcomes of mutants say together, and the page that is made from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from Testing.bench.mutation.__main__ import _command, _parser
from Testing.bench.mutation.finding import EQUIVALENT, KEY, equivalents, findings, share
from Testing.bench.mutation.publication import publish, published_page


def outcome(number: int, ended: str, room: str = "image") -> dict[str, Any]:
    """One mutant's."""
    facts = {"id": str(number), "file": f"trainer/{room}.py", "line": number, "operator": "constant"}
    text = {"before": str(number), "after": "a | b", "source": f"x = {number}"}
    return {**facts, **text, "room": room, "outcome": ended, "passed": ["t.py::a", "t.py::b", "u.py::c"]}


OUTCOMES = [
    *(outcome(number, "failed") for number in range(8)),
    outcome(8, "survived"),
    outcome(9, "survived"),
    outcome(10, "timeout", "scene"),
    outcome(11, "error", "scene"),
]
LISTED = {("trainer/image.py", "x = 9", "9", "a | b"): "rounding takes it away"}


def test_the_interval_is_that_of_the_binomial_distribution():
    # None of n: the upper limit p has (1 - p)^n = 0.025; all of n is the same the other way round.
    none = share([outcome(n, "survived") for n in range(10)])
    assert none["share"] == 0.0
    assert none["interval"] == pytest.approx([0.0, 1 - 0.025**0.1])
    every = share([outcome(n, "failed") for n in range(10)])
    assert every["interval"] == pytest.approx([0.025**0.1, 1.0])
    # 8 of 10, from published tables of Clopper-Pearson limits.
    assert share(OUTCOMES[:10])["interval"] == pytest.approx([0.4439, 0.9748], abs=1e-4)


def test_noticed_is_what_failed_or_broke_or_took_too_long_and_each_is_told_apart():
    found = findings(OUTCOMES, {})
    assert found["all"] | {"share": 0, "interval": 0} == {
        "mutants": 12, "noticed": 10, "failed": 8, "error": 1, "timeout": 1, "share": 0, "interval": 0,
    }  # fmt: skip
    assert [found["rooms"][room]["noticed"] for room in ("image", "scene")] == [8, 2]
    assert [one["line"] for one in found["survivors"]] == [8, 9]
    assert found["survivors"][0]["files"] == {"t.py": 2, "u.py": 1}


def test_a_reviewed_equivalent_mutant_is_set_aside_with_its_reason():
    found = findings(OUTCOMES, LISTED)
    assert (found["all"]["mutants"], found["all"]["noticed"]) == (11, 10)
    assert [one["line"] for one in found["survivors"]] == [8]
    assert [(one["line"], one["reason"]) for one in found["equivalent"]] == [(9, "rounding takes it away")]
    assert found["wrongly_listed"] == []


def test_a_mutant_that_was_noticed_cannot_be_called_equivalent():
    found = findings(OUTCOMES, {("trainer/image.py", "x = 1", "1", "a | b"): "wrong"})
    assert found["all"]["mutants"] == 12
    assert [one["line"] for one in found["wrongly_listed"]] == [1]


def test_every_listed_equivalent_mutant_has_a_reason_and_stands_in_the_code(repository: Path):
    for key, reason in equivalents(EQUIVALENT).items():
        file, source, before, _ = key
        assert len(reason) > 10
        assert source in (repository / file).read_text("utf-8")
        assert before.splitlines()[0] in source
    assert KEY == ("file", "source", "before", "after")


def test_the_page_is_made_of_the_published_files_alone(tmp_path: Path):
    content = {"date": "2026-01-02", "commit": "abc", "seed": 0, "limit_s": 120.0, "tests": "all", "real_data": True}
    path, page = publish({**content, "results": findings(OUTCOMES, LISTED)}, tmp_path)
    text = page.read_text("utf-8")
    assert path.name == "mutation-2026-01-02.json"
    assert text == published_page(tmp_path)
    assert "| all | 11 | 10 | 91 % (59 to 100) | 8 | 1 | 1 |" in text
    assert "| trainer/image.py:8 | constant | `8` | `a \\| b` | 3 |" in text
    assert "rounding takes it away" in text
    changed = json.loads(path.read_text("utf-8"))
    changed["results"]["all"] |= {"noticed": 7}
    path.write_text(json.dumps(changed), "utf-8")
    assert "| all | 11 | 7 |" in published_page(tmp_path)


@pytest.mark.parametrize(
    "words", ["--mutants 9 --seed 3 --limit 60", "--mutants 100 --seed 0 --limit 120 --rooms ood image --tests runtime"]
)
def test_the_command_that_is_told_would_measure_the_same(words: str):
    assert _command(_parser().parse_args([*words.split(), "-o", "out"])) == f"python -m Testing.bench.mutation {words}"
