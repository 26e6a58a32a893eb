"""The defaults that the page of two-stage learning names are those that an experiment has."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from trainer import cli
from trainer.pretraining.auxiliary_config import AuxiliaryConfig
from trainer.pretraining.pretext.catalogue import PRETEXTS
from trainer.two_stage import experiment
from trainer.two_stage.experiment import Request
from trainer.two_stage.settings import TwoStageConfig

PAGE = Path(__file__).parents[3] / "docs" / "pretraining.md"
NUMBER_WORDS = {"all five": ()}


def documented() -> dict[str, object]:
    """Default by key, from the rows of the table."""
    found: dict[str, object] = {}
    table = PAGE.read_text(encoding="utf-8").split("| `[auxiliary]` `weight` |", 1)[1].split("\n\n", 1)[0]
    for row in ("| `[auxiliary]` `weight` |" + table).splitlines():
        keys, defaults, _ = (cell.strip() for cell in row.strip("|").split("|", 2))
        names = [name for name in re.findall(r"`([^`]+)`", keys) if not name.startswith("[")]
        values = [defaults] if len(names) == 1 else defaults.split(", ")
        found |= dict(zip(names, map(value_of, values), strict=True))
    return found


def value_of(text: str) -> object:
    """As in a configuration."""
    text = text.strip("`")
    if text in NUMBER_WORDS:
        return NUMBER_WORDS[text]
    if text in ("true", "false"):
        return text == "true"
    return float(text) if re.fullmatch(r"[0-9.]+", text) else text


def test_every_setting_has_the_default_that_the_page_names() -> None:
    page = documented()
    settings = dataclasses.asdict(AuxiliaryConfig()) | dataclasses.asdict(TwoStageConfig())
    assert {name: settings[name] for name in page} == page
    assert {field.name for field in dataclasses.fields(TwoStageConfig)} <= page.keys()
    assert len(PRETEXTS) == 5


def test_without_further_wishes_one_student_of_seed_0_learns_from_all_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request] = []

    def run(request: Request, *rest: Any) -> dict[str, Any]:
        asked.append(request)
        return {"bars": []}

    monkeypatch.setattr(experiment, "run_two_stage", run)
    target, output = tmp_path / "target", tmp_path / "m.mts.safetensors"
    assert cli.main(["two-stage", "--data", str(target), "-o", str(output)]) == 0
    assert asked == [Request(target, (), output)]
    assert (asked[0].labelled, asked[0].seeds) == ((None,), (0,))
