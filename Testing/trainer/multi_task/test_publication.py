"""What is published of a multi-task experiment names no place of this machine and shows nothing old."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from Testing.trainer.multi_task.tiny_study import write_config
from trainer.cli import main
from trainer.multi_task.page import write_page
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


def test_places_with_spaces_are_cut_and_messages_about_pictures_stay_here(tmp_path: Path) -> None:
    place = tmp_path / "some one" / "data"
    failures = {"joint.all.5.s0": f"broken: {place / 'Dataset001_A' / 'x.nii.gz'}. Export it again."}
    config = {"multi_task": {"data_root": str(place)}}
    more = {"failures": failures, "config": config, "picture_failures": {"Dataset001_A": "broken: mary_jones.nii.gz"}}
    path, page = publish(nothing_measured("Study", **more), [], tmp_path / "docs", places=[tmp_path, place])
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    assert results["config"] == {"multi_task": {"data_root": "data"}}
    for text in (path.read_text(encoding="utf-8"), page.read_text(encoding="utf-8")):
        assert "some one" not in text
        assert "mary" not in text


def test_names_of_datasets_are_no_markup_and_pictures_have_names_that_links_can_hold(tmp_path: Path) -> None:
    names = ["A <b>[x](y) *c* (1)", "A -b-[x](y) *c* (1)", "a -b- x y *c* (1)"]
    cases = [
        {"dataset": name, "picture": f"{number}.png", "labelled_groups": 5, "seed": 0, "may_be_published": True,
         "cases": [{"place": "best", "case": "one", "dice": {"a": 0.5, "b": None}}]}
        for number, name in enumerate(names)
    ]  # fmt: skip
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    for entry in cases:
        (drawn / entry["picture"]).write_bytes(entry["picture"].encode())
    failures = {"a.all.5.s0": "no <script> in *it*"}
    study = nothing_measured("Study of <i>", cases=cases, failures=failures)
    _, page = publish(study, [], tmp_path / "docs", drawn)
    text = page.read_text(encoding="utf-8")
    assert not any(f" {tag}" in text for tag in ("<b>", "<i>", "<script>"))
    assert r"\<b\>\[x\](y) \*c\* (1), 5 patients with labels" in text
    found = re.findall(r"^!\[.*\]\(([A-Za-z0-9._-]+)\)$", text, flags=re.MULTILINE)
    # Three pictures, also where capital letters are those of the small ones.
    assert len({name.lower() for name in found}) == 3
    assert [(tmp_path / "docs" / name).read_bytes() for name in found] == [b"0.png", b"1.png", b"2.png"]


def test_page_and_report_name_datasets_with_fewer_patients_than_the_number_of_labels(tmp_path: Path) -> None:
    datasets = {"Dataset001_A": {"groups": 6, "tested_groups": 2}, "Dataset002_B": {"groups": 9, "tested_groups": 3}}
    study = nothing_measured("Study", datasets=datasets, cases=[], picture_failures={}, command="", created="")
    _, page = publish(study, [], tmp_path)
    write_page(study, tmp_path / "report.html", tmp_path)
    for path in (page, tmp_path / "report.html"):
        text = path.read_text(encoding="utf-8").replace("\\", "")
        assert "Fewer than 5 patients are not tested on, and all of these have labels: Dataset001_A (4)." in text


def test_page_and_report_say_how_many_images_an_arm_has_no_dice_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Dataset001_A, images of all seeds with no label in truth and result, left out of the Dice: a 1 of 4."
    study = nothing_measured("Study", cases=[], picture_failures={}, command="", created="")
    monkeypatch.setattr("trainer.multi_task.wording.empty_sentences", lambda regime: [said])
    _, page = publish(study, [], tmp_path)
    write_page(study, tmp_path / "report.html", tmp_path)
    for path in (page, tmp_path / "report.html"):
        assert said in path.read_text(encoding="utf-8").replace("\\", "")


def test_pictures_of_a_study_whose_title_begins_alike_stay(tmp_path: Path) -> None:
    other, _ = publish(nothing_measured("Study: cases of CT"), [], tmp_path)
    picture = other.with_name(f"{other.stem}-gain.png")
    picture.write_bytes(b"another's")
    publish(nothing_measured("Study"), [], tmp_path)
    assert picture.exists()


def test_a_study_published_again_on_another_day_replaces_what_was_there_and_no_other_one(tmp_path: Path) -> None:
    other, _ = publish(nothing_measured("Study: cases"), [], tmp_path)
    path, _ = publish(nothing_measured("Study", commit="a" * 40), [], tmp_path)
    earlier = path.with_name("multi-task-2020-01-02-study.json")
    path.rename(earlier)
    picture = earlier.with_name(f"{earlier.stem}-forest-dice-20.png")
    picture.write_bytes(b"of the earlier one")
    _, page = publish(nothing_measured("Study", commit="b" * 40), [], tmp_path)
    assert {file.name for file in tmp_path.glob("*.json")} == {other.name, path.name}
    assert not picture.exists()
    text = page.read_text(encoding="utf-8")
    assert (text.count("## Study,"), "a" * 40 in text, "b" * 40 in text) == (1, False, True)


def test_a_title_that_could_not_be_published_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = publish(nothing_measured("Tiny: study"), [], tmp_path / "docs")
    with pytest.raises(UsageError, match="Tiny study has the file name of another published study: Tiny: study"):
        publish(nothing_measured("Tiny study"), [], tmp_path / "docs")
    config, out = write_config(tmp_path / "study.toml"), tmp_path / "out"
    words = ["experiment", "multi-task", "--config", str(config), "-o", str(out), "--publish", str(path.parent)]
    assert main(words) == 2
    assert "Tiny study has the file name of another published study" in capsys.readouterr().err
    assert not out.exists()
