"""What the performance page says of measured figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from Testing.bench.document import figures

MEDIANS = {"cpu_s": 1.0, "wall_s": 1.0, "peak_mb": 1.0}


def inference(dice: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {
        "volume_zyx": [1, 2, 3], "patch_zyx": [1, 1, 1], "overlap": 0.5, "classes": 2, "rounds": 1,
        "model": {"name": "m"}, "medians": {"ours": MEDIANS, "monai": MEDIANS}, "dice": dice,
        "machine": {
            "processor": "p", "torch_cpu_capability": "c", "cores": 1, "load_average": None, "threads": 1,
            "packages": {},
        },
    }  # fmt: skip


def memory(exit_code: int) -> dict[str, Any]:
    run = {"shape_zyx": [1, 2, 3], "spacing_mm": 0.5, "purpose": "auto", "peak_mb": 200, "estimate_mb": 250}
    limit = {"shape_zyx": [1, 2, 3], "command": "segment", "limit_gb": 1, "peak_mb": 9, "last_line": "it needs more"}
    machine = inference({})["machine"]
    return {"runs": [run], "limits": [{**limit, "exit_code": exit_code}], "machine": machine}


def page(folder: Path, dice: dict[str, dict[str, float]]) -> str:
    (folder / "inference.json").write_text(json.dumps(inference(dice)), encoding="utf-8")
    return figures(folder)


def test_dice_is_averaged_over_the_images_of_each_task(tmp_path: Path) -> None:
    dice = {
        "hearts/a": {"ours": 0.5, "monai": 0.6},
        "hearts/b": {"ours": 0.7, "monai": 0.6},
        "brains/c": {"ours": 0.9, "monai": 0.8},
    }
    text = page(tmp_path, dice)
    assert "| hearts (2) | 0.6000 | 0.6000 |" in text
    assert "| brains (1) | 0.9000 | 0.8000 |" in text


def test_without_labelled_images_there_is_no_table_of_dice(tmp_path: Path) -> None:
    assert "patients not trained on" not in page(tmp_path, {})


@pytest.mark.parametrize("exit_code, said", [(0, ""), (4, "it needs more")])
def test_memory_is_shown_beside_its_estimate_and_what_a_run_said_where_it_gave_up(
    tmp_path: Path, exit_code: int, said: str
) -> None:
    (tmp_path / "memory.json").write_text(json.dumps(memory(exit_code)), encoding="utf-8")
    text = figures(tmp_path)
    assert "| 1 x 2 x 3 | 0.5 | auto | 200 | 250 | 1.25 |" in text
    assert f"| 1 x 2 x 3 | segment | 1 | {exit_code} | 9 | {said} |" in text
