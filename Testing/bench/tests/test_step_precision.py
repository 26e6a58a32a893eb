"""Dice after equal steps in both precisions: pairs by seed, one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from Testing.bench import step_precision
from Testing.bench.step_precision import compared, main
from Testing.bench.training_table import precision_table


def run(seed: int, precision: str, dice: float, cpu_s: float) -> dict[str, Any]:
    return {"seed": seed, "precision": precision, "dice": dice, "step_cpu_s": cpu_s, "step_wall_s": 2 * cpu_s}


def test_each_run_in_sixteen_bits_is_compared_with_that_of_its_own_seed_in_any_order() -> None:
    runs = [
        run(1, "bfloat16", 0.5, 1.0), run(0, "float32", 0.75, 4.0), run(1, "float32", 0.25, 2.0),
        run(0, "bfloat16", 0.625, 2.0),
    ]  # fmt: skip
    found = compared(runs)
    assert found["differences"] == [0.25, -0.125]
    assert (found["dice_float32"], found["dice_bfloat16"]) == (0.5, 0.5625)
    assert found["step_cpu_ratio"] == found["step_wall_ratio"] == 0.5


def test_both_precisions_of_a_seed_ask_for_the_same_but_for_the_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measured(_module: str, request: dict[str, Any], _folder: Path, _environment: dict[str, str]) -> dict[str, Any]:
        asked.append(request)
        is_half = request["settings"]["precision"] == "bfloat16"
        return {"step_cpu_s": 2.0 - is_half, "step_wall_s": 1.0, "patches": {}, "points": [{"dice": 0.5}]}

    monkeypatch.setattr(step_precision, "measured", measured)
    monkeypatch.setattr(step_precision, "content_of", lambda _directory: "digest")
    file = tmp_path / "found.json"
    words = ["--json", str(file), "--data-root", str(tmp_path), "--work", str(tmp_path), "--datasets", "A", "B"]
    assert main([*words, "--seeds", "2", "--steps", "7"]) == 0
    assert len(asked) == 8
    for exact, rounded in zip(asked[::2], asked[1::2], strict=True):
        assert (exact["settings"]["precision"], rounded["settings"]["precision"]) == ("float32", "bfloat16")
        assert exact["folder"] != rounded["folder"]
        for request in (exact, rounded):
            del request["settings"]["precision"], request["folder"]
        assert exact == rounded
    found = json.loads(file.read_text("utf-8"))
    assert {"command", "commit", "machine"} <= set(found)
    lines = list(precision_table(found))
    assert "| A | 0.5000 | 0.5000 | +0.0000, +0.0000 | 2.000 | 1.000 | 0.50 | 1.00 |" in lines


@pytest.mark.parametrize("words", [("--seeds", "0"), ("--steps", "3")])
def test_numbers_that_give_no_figure_are_refused(tmp_path: Path, words: tuple[str, str]) -> None:
    with pytest.raises(SystemExit):
        main(["--json", str(tmp_path / "found.json"), "--data-root", str(tmp_path), *words])
