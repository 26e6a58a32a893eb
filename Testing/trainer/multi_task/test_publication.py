"""What is published of a multi-task experiment names no place of this machine and shows nothing old."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.multi_task.publication import publish


def nothing_measured(title: str, **more: Any) -> dict[str, Any]:
    regime = {"labelled_groups": 5, "rows": [], "against_reference": [], "ours_against": [], "bars": []}
    return {
        "title": title, "commit": None, "datasets": {}, "arms": ["a"], "reference": "a", "ours": "b", "failures": {},
        "regimes": [regime], "compute": {"5": {"a": None}}, "config": {}, **more,
    }  # fmt: skip


def test_paths_from_the_root_on_are_cut_to_their_last_part(tmp_path: Path) -> None:
    config = {"data_root": "/srv/someone/data", "data": ["/srv/clinic/Dataset001_A::axial", "rel/Dataset002_B"]}
    failures = {"joint.all.5.s0": "image /srv/someone/x.nii.gz: broken, D:\\scans\\me\\y.mha too, a Dice/ECE of 1/2"}
    path, page = publish(nothing_measured("Study", config=config, failures=failures), ["-o", "/srv/out"], tmp_path)
    results = json.loads(path.read_text())["results"]
    assert results["config"] == {"data_root": "data", "data": ["Dataset001_A::axial", "rel/Dataset002_B"]}
    why = "image x.nii.gz: broken, y.mha too, a Dice/ECE of 1/2"
    assert results["failures"] == {"joint.all.5.s0": why}
    for text in (path.read_text(), page.read_text()):
        assert "someone" not in text


def test_pictures_of_an_earlier_publication_under_the_same_name_go_and_others_stay(tmp_path: Path) -> None:
    path, _ = publish(nothing_measured("Study"), [], tmp_path)
    old = [path.with_name(f"{path.stem}-{name}.png") for name in ("gain", "forest-dice-20", "reliability-all")]
    others = [path.with_name(f"{path.stem}-{name}.png") for name in ("two-gain", "two-forest-dice-20")]
    for picture in (*old, *others):
        picture.write_bytes(b"old")
    publish(nothing_measured("Study"), [], tmp_path)
    assert not any(picture.exists() for picture in old)
    assert all(picture.exists() for picture in others)


@pytest.mark.parametrize("title", ["\u5fc3\u81df", "--"])
def test_a_title_without_latin_letters_has_a_file_name_too(title: str, tmp_path: Path) -> None:
    assert publish(nothing_measured(title), [], tmp_path)[0].name.endswith("-study.json")
