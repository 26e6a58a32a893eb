"""Growth to what hospitals have: what is measured goes on where it ended, and the page says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.model.model_file import read_manifest
from Testing.bench import hospital, hospital_run
from Testing.bench.hospital import laws, planned
from Testing.bench.hospital_table import hospital_table
from Testing.bench.untrained_model import write_untrained_model


def own_part(tasks: int) -> dict[str, Any]:
    told = [{"frame": 1, "cpu_s": 2.0 * tasks, "peak_mb": 100.0}]
    return {"tasks": tasks, "file_mb": 4.0, "load_s": 0.5, "shape_zyx": [4, 8, 8], "told": told}


def test_a_file_holds_so_many_tasks_each_with_outputs_of_its_own(tmp_path: Path) -> None:
    manifest, _ = read_manifest(write_untrained_model(tmp_path / "m.mts.safetensors", 3, tasks=4))
    assert [task.channels.start for task in manifest.tasks] == [0, 3, 6, 9]
    assert manifest.architecture.outputs == 12
    alone, _ = read_manifest(write_untrained_model(tmp_path / "one.mts.safetensors", 3))
    assert [task.name for task in alone.tasks] == ["task"]


def test_images_are_segmented_one_after_the_other_and_told_of_where_asked(tmp_path: Path) -> None:
    path = write_untrained_model(tmp_path / "m.mts.safetensors", 3, tasks=2)
    request = {"model": str(path), "shape_zyx": [4, 16, 16], "frames": 3, "told_at": [1, 3], "threads": 1}
    found = hospital_run.run(request)
    assert [one["frame"] for one in found["told"]] == [1, 3]
    assert found["told"][0]["peak_mb"] <= found["told"][1]["peak_mb"]
    assert found["load_s"] > 0


def test_what_is_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def measure(tasks: int, *_: object) -> dict[str, Any]:
        """The second one breaks off at first."""
        done.append(tasks)
        if done == [1, 10]:
            raise KeyboardInterrupt
        return own_part(tasks)

    monkeypatch.setattr(hospital, "with_tasks", measure)
    monkeypatch.setattr(hospital, "series", lambda *_: {"frames": 1} | own_part(1))
    monkeypatch.setattr(hospital, "planned", lambda *_: {})
    words = ["--json", str(tmp_path / "hospital.json"), "--tasks", "1", "10"]
    with pytest.raises(KeyboardInterrupt):
        hospital.main(words)
    assert hospital.main(words) == 0
    assert hospital.main(words) == 0
    assert done == [1, 10, 10]
    found = json.loads((tmp_path / "hospital.json").read_text())
    assert list(found["parts"]) == ["tasks 1", "tasks 10", "series", "large"]
    assert found["laws"]["cpu_s_exponent"] == pytest.approx(1.0)
    assert found["laws"]["file_mb_exponent"] == pytest.approx(0.0)


def test_one_count_gives_no_law() -> None:
    assert laws({"tasks 1": own_part(1)}) == {"file_mb_exponent": None, "load_s_exponent": None, "cpu_s_exponent": None}


def test_the_plan_of_a_large_image_falls_with_the_parts_and_says_which_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = planned((40, 64, 64), 5)
    assert found["steps_mb"][-1] < found["steps_mb"][0]
    assert found["first_fitting_step"] == 0
    monkeypatch.setattr(hospital, "HOST_BYTES", 1_000_000)
    assert planned((40, 64, 64), 5)["first_fitting_step"] is None


def test_the_page_tells_costs_laws_series_and_what_is_planned() -> None:
    large = {"shape_zyx": [1000, 512, 512], "classes": 120, "host_gb": 8.0, "steps_mb": [9000, 5000]}
    parts = {"tasks 1": own_part(1), "tasks 10": own_part(10), "series": {"frames": 200} | own_part(1)}
    for step, words in ((1, "fits with step 1"), (None, "does not fit")):
        found = {"parts": {**parts, "large": {**large, "first_fitting_step": step}}, "laws": laws(parts)}
        page = "\n".join(hospital_table(found))
        assert "| 10 | 4.0 | 0.50 | 20.00 | 100 |" in page
        assert "cpu_s 1.00" in page
        assert "A series of 200 frames of 4 x 8 x 8 voxels" in page
        assert f"planned with 5000 to 9000 MB (not run): with 8 GB free this {words}" in page
