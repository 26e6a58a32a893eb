"""What the performance page says of measured figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
