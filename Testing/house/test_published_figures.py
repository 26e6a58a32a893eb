"""Every published JSON file names the command, the commit and the machine that its figures come from, and nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from trainer.failure import publication as failure
from trainer.multi_task import publication as multi_task
from trainer.report.origin import origin
from trainer.report.published_study import StudyKind
from trainer.transfer import publication as transfer
from trainer.two_stage import publication as two_stage

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
# Texts about figures; figures of several models, each of which says where it comes from.
TEXTS, OF_SEVERAL = "changes-", "calibration-"
COMMIT = re.compile(r"[0-9a-f]{40}(\+changes)?(, [0-9a-f]{40})*")
PLACE = re.compile(r"(?:^|[\s=])(?:/|~|[A-Za-z]:\\|\\\\)[\w.]")
STUDIES = [failure.KIND, multi_task.KIND, transfer.KIND, two_stage.KIND]
REMEDY = 'write them when measuring (trainer.report.origin), or "not recorded" with "recorded_afterwards": true'


def published() -> list[Path]:
    return sorted(path for path in RESULTS.rglob("*.json") if not path.name.startswith(TEXTS))


def records(path: Path) -> Iterator[Mapping[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    machine = {"machine": content.get("machine")}
    yield from ([machine | own for own in content["results"]] if path.name.startswith(OF_SEVERAL) else [content])


@pytest.mark.parametrize("path", published(), ids=lambda path: path.name)
def test_a_published_file_says_where_its_figures_come_from(path: Path) -> None:
    for record in records(path):
        assert all(record.get(key) for key in ("command", "commit", "machine")), f"{path.name}: {REMEDY}"
        command = record["command"] if isinstance(record["command"], str) else " ".join(record["command"])
        assert COMMIT.fullmatch(record["commit"])
        assert not PLACE.search(command)
        assert record["machine"] == "not recorded" or {"processor", "cores", "system"} <= set(record["machine"])


def test_a_command_keeps_no_folder_of_whoever_called_it() -> None:
    words = [
        "evaluate",
        "-m",
        "/data/mr3d.mts.safetensors",
        "--data",
        "D:\\data\\Dataset101_A",
        "--json=~/a.json",
    ]
    found = origin("python -m trainer", words)
    assert found["command"] == "python -m trainer evaluate -m mr3d.mts.safetensors --data Dataset101_A --json=a.json"
    assert "node" not in found["machine"]
    assert not PLACE.search(found["command"])
    assert PLACE.search(" ".join(words))


@pytest.mark.parametrize("kind", STUDIES, ids=[kind.prefix for kind in STUDIES])
def test_a_study_stands_there_once_and_its_pictures_are_known_as_its_own(kind: StudyKind) -> None:
    dated = re.compile(rf"{kind.prefix}-\d{{4}}-\d{{2}}-\d{{2}}-")
    files = {path.stem: path for path in RESULTS.glob(f"{kind.prefix}-*.json")}
    assert files
    for stem, path in files.items():
        own = kind.identity(json.loads(path.read_text(encoding="utf-8")))
        assert kind.files_of(RESULTS, dated.sub("", stem), own) == [path]
    for picture in RESULTS.glob(f"{kind.prefix}-*.png"):
        study = max((stem for stem in files if f"{picture.stem}-".startswith(f"{stem}-")), key=len)
        assert kind.pictures.fullmatch(picture.stem.removeprefix(study).removeprefix("-")), picture.name
    assert (RESULTS / kind.page).read_text(encoding="utf-8") == kind.text(RESULTS)
