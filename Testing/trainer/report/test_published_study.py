"""Studies in a folder: none takes another's place, and what is published again is there once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.report.published_study import StudyKind, file_words, study_path


def page_of(folder: Path) -> str:
    """Name and figure of every study, and what stands there of pictures."""
    studies = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("trial-*.json"))]
    pictures = sorted(path.name for path in folder.glob("*.png"))
    return json.dumps([[study["title"], study["figure"]] for study in studies] + [pictures])


def title_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    return (content["title"],)


KIND = StudyKind("trial", "trial.md", page_of, title_of, re.compile("curve(-.+)?|gain|"))


def published(folder: Path, day: int, title: str, figure: float = 0.5, *names: str) -> Path:
    content = {"title": title, "figure": figure}
    path = study_path(folder, "trial", f"2026-01-{day:02d}", file_words(title))
    return KIND.publish(path, content, lambda found: {name: str(found["figure"]).encode() for name in names})[0]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("day", [1, 2])
def test_titles_that_are_spelt_alike_in_file_names_do_not_take_each_other_s_place(tmp_path: Path, day: int) -> None:
    first = published(tmp_path, 1, "CT: few labels", 0.5, "curve")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=r"CT, few labels has the file name of another .* CT: few labels"):
        published(tmp_path, day, "CT, few labels", 0.6, "curve")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert first in before


def test_a_study_that_is_published_again_on_another_day_is_there_once_with_its_own_pictures(tmp_path: Path) -> None:
    published(tmp_path, 1, "A", 0.5, "", "curve", "gain")
    published(tmp_path, 1, "A curve", 0.25, "gain")
    published(tmp_path, 2, "A", 0.75, "", "curve")
    others = {"trial-2026-01-01-a-curve.json", "trial-2026-01-01-a-curve-gain.png"}
    own = {"trial-2026-01-02-a.json", "trial-2026-01-02-a.png", "trial-2026-01-02-a-curve.png"}
    assert names(tmp_path) == others | own | {"trial.md"}
    assert json.loads((tmp_path / "trial.md").read_text())[:2] == [["A curve", 0.25], ["A", 0.75]]
    assert (tmp_path / "trial-2026-01-02-a-curve.png").read_bytes() == b"0.75"


def test_on_the_same_day_the_newer_figures_stay_without_pictures_that_they_no_longer_have(tmp_path: Path) -> None:
    published(tmp_path, 1, "A", 0.5, "curve", "gain")
    foreign = tmp_path / "trial-2026-01-01-a-photograph.png"
    foreign.write_bytes(b"not ours")
    published(tmp_path, 1, "A", 0.75, "curve")
    assert names(tmp_path) == {"trial-2026-01-01-a.json", "trial-2026-01-01-a-curve.png", foreign.name, "trial.md"}


def test_an_earlier_result_does_not_replace_a_later_one(tmp_path: Path) -> None:
    published(tmp_path, 2, "A", 0.75, "curve")
    with pytest.raises(UsageError, match="on a later day"):
        published(tmp_path, 1, "A", 0.5, "curve")
    assert names(tmp_path) == {"trial-2026-01-02-a.json", "trial-2026-01-02-a-curve.png", "trial.md"}


def test_interrupted_the_earlier_study_is_still_there_and_the_same_call_makes_it_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(tmp_path, 1, "A", 0.5, "curve", "gain")
    for stop in ("write_whole", "write_published", "write_text_file"):
        with monkeypatch.context() as patch:
            patch.setattr(f"trainer.report.published_study.{stop}", interrupt)
            with pytest.raises(KeyboardInterrupt):
                published(tmp_path, 2, "A", 0.75, "curve")
        # Every figure that the page shows has its pictures, whenever it was made.
        assert (tmp_path / "trial-2026-01-01-a-gain.png").is_file()
        assert (tmp_path / "trial-2026-01-01-a.json").is_file() == (stop != "write_text_file")
    published(tmp_path, 3, "A", 0.75, "curve")
    assert names(tmp_path) == {"trial-2026-01-03-a.json", "trial-2026-01-03-a-curve.png", "trial.md"}


def interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_capital_letters_do_not_make_another_file_name(tmp_path: Path) -> None:
    path = study_path(tmp_path, "trial", "2026-01-01", "Breast")
    KIND.publish(path, {"title": "Breast", "figure": 1.0}, lambda found: {})
    with pytest.raises(UsageError, match="breast has the file name"):
        KIND.files_of(tmp_path, "breast", ("breast",))
