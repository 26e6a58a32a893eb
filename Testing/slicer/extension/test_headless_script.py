"""The script of the documentation for Slicer without its window, run on the stand-ins with the real worker."""

from __future__ import annotations

import csv
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib import job

TITLE = "# segment_folder.py"


@pytest.fixture
def script(tmp_path, repository) -> Path:
    """The block of the documentation that begins with the name of the script."""
    text = (repository / "docs" / "slicer.md").read_text(encoding="utf-8")
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if block.startswith(TITLE)]
    path = tmp_path / "segment_folder.py"
    path.write_text(block, encoding="utf-8")
    return path


@pytest.fixture
def codes(monkeypatch) -> list[int]:
    """What the script would end Slicer with; its worker is ended after the test."""
    ended: list[int] = []
    monkeypatch.setattr(slicer.util, "exit", ended.append)
    yield ended
    job.shared_runner().close()


def image(path: Path) -> None:
    noise = np.random.default_rng(0).normal(100.0, 20.0, (16, 20, 18)).astype(np.float32)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(noise), str(path))


def test_the_documented_script_segments_a_folder_and_tells_failures_by_its_exit_code(
    session, script, codes, tmp_path, monkeypatch
):
    (tmp_path / "scans").mkdir()
    image(tmp_path / "scans" / "good.nii.gz")
    (tmp_path / "scans" / "torn.nii.gz").write_bytes(b"no image")
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path / "scans"), str(tmp_path / "results")])
    runpy.run_path(str(script), run_name="__main__")
    with (tmp_path / "results" / "batch.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = {row["image"]: row for row in csv.DictReader(stream)}
    assert rows["good.nii.gz"]["error"] == ""
    assert "torn.nii.gz" in rows["torn.nii.gz"]["error"]
    assert (tmp_path / "results" / "good" / "segmentation.seg.nrrd").is_file()
    assert codes == [1]
