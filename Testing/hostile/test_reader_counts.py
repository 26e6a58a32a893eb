"""How many kinds of broken image files Slicer's own reader takes is counted, and ours refuses every one of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.hostile.campaign.catalogue import TRIALS
from Testing.hostile.campaign.finding import finding
from Testing.hostile.campaign.journal import Settings
from Testing.hostile.campaign.publication import publish, published_page, summary
from Testing.hostile.campaign.read_by_slicer_alone import READ_BY_SLICER_ALONE
from Testing.hostile.campaign.row import readers
from Testing.hostile.campaign.row_run import run_here, tried


def test_our_reader_refuses_every_kind_that_slicers_takes(tmp_path: Path) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    Settings(1.0, 0).keep(tmp_path)
    run_here("readers", tmp_path, io.StringIO())
    found = finding("readers", tmp_path)
    assert found["failures"] == []
    assert found["run"] == found["of"] > 80
    counted = found["counted"]
    assert counted[readers.TAKEN] == counted[readers.REFUSED] >= counted[readers.USED]
    assert counted[readers.USED] == len(READ_BY_SLICER_ALONE)


def test_every_listed_kind_is_among_the_cases() -> None:
    assert set(READ_BY_SLICER_ALONE) <= set(TRIALS["readers"].cases())


@pytest.mark.parametrize(
    ("case", "listed", "says"),
    [
        ("nrrd half infinite", {"nrrd half infinite"}, "noticed in the scene by now"),
        ("nifti half NaN", set(), "not noticed in the scene"),
    ],
)
def test_a_list_that_is_out_of_date_is_told(
    case: str, listed: set[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    monkeypatch.setattr(readers, "READ_BY_SLICER_ALONE", listed)
    assert says in str(tried(TRIALS["readers"], case, tmp_path)["failure"])


def test_a_reader_of_ours_that_takes_a_broken_file_is_a_failure_and_not_counted_as_refusing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    whole = Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.eye(4))
    monkeypatch.setattr(readers, "read_image", lambda path: whole)
    found = tried(TRIALS["readers"], "nifti half NaN", tmp_path)
    assert "our reader takes it" in str(found["failure"])
    assert found["counted"] == [readers.TAKEN, readers.USED]


def test_what_is_counted_stands_in_the_table_and_on_the_page(tmp_path: Path) -> None:
    row = {
        "name": "readers", "what": "files", "promise": "refused", "run": 9, "of": 9, "cases_failed": 0, "failures": [],
        "not_here": {}, "counted": {readers.TAKEN: 5, readers.REFUSED: 5}, "seconds": 1.0, "whole_seconds": 1.0,
    }  # fmt: skip
    machine = {"processor": "P", "system": "S"}
    content = {"date": "2026-01-02", "commit": "abc", "share": 1.0, "seed": 0, "machine": machine, "rows": [row]}
    assert f"5 {readers.TAKEN}" in summary(content)
    publish(content, tmp_path)
    page = published_page(tmp_path)
    assert f"| readers | {readers.TAKEN} | 5 |" in page
    assert f"| readers | {readers.REFUSED} | 5 |" in page
