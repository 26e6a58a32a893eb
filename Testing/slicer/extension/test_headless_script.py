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

from MultiTaskSegLib import headless, job
from MultiTaskSegLib.installation import missing_package
from MultiTaskSegLib.runtime.errors import ResourceError

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
def codes(stand_ins, monkeypatch) -> list[int]:
    """What the script would end Slicer with; its worker is ended after the test."""
    ended: list[int] = []
    monkeypatch.setattr(slicer.util, "exit", ended.append)
    yield ended
    job.shared_runner().close()


def image(path: Path) -> None:
    noise = np.random.default_rng(0).normal(100.0, 20.0, (16, 20, 18)).astype(np.float32)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(noise), str(path))


@pytest.fixture
def run(session, script, codes, monkeypatch):
    """Runs the script with arguments; the code that Slicer would end with."""

    def with_arguments(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        runpy.run_path(str(script), run_name="__main__")
        return codes[-1]

    return with_arguments


def test_the_documented_script_segments_a_folder_and_tells_failures_by_its_exit_code(run, tmp_path, capsys):
    (tmp_path / "scans").mkdir()
    image(tmp_path / "scans" / "good.nii.gz")
    (tmp_path / "scans" / "torn.nii.gz").write_bytes(b"no image")
    assert run(tmp_path / "scans", tmp_path / "results") == 1
    with (tmp_path / "results" / "batch.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = {row["image"]: row for row in csv.DictReader(stream)}
    assert rows["good.nii.gz"]["error"] == ""
    assert "torn.nii.gz" in rows["torn.nii.gz"]["error"]
    assert (tmp_path / "results" / "good" / "segmentation.seg.nrrd").is_file()
    assert capsys.readouterr().err.startswith("torn.nii.gz: ")
    page = (tmp_path / "results" / "batch.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 1
    assert 'href="good/segmentation.seg.nrrd"' in page
    (tmp_path / "results" / "batch.csv").write_text("mine")
    (tmp_path / "scans" / "good.nii.gz").unlink()
    assert run(tmp_path / "scans", tmp_path / "results") == 1
    assert (tmp_path / "results" / "batch.csv").read_text() == "mine"
    assert "the new ones are batch_2.csv and .html" in capsys.readouterr().err


def test_a_table_that_cannot_be_written_ends_the_script_with_a_word(run, tmp_path, capsys):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "torn.nii.gz").write_bytes(b"no image")
    (tmp_path / "results").write_text("a file")
    assert run(tmp_path / "scans", tmp_path / "results") == 4
    assert "a file is in the place of the folder for results" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["no such folder", "out"], 4, "there is no such folder"),
        (["folder alone"], 2, "Give FOLDER RESULTS"),
        ([], 2, "0 arguments were given"),
    ],
)
def test_a_script_with_wrong_arguments_ends_with_a_word(run, capsys, arguments, code, words):
    assert run(*arguments) == code
    assert words in capsys.readouterr().err


def test_a_script_without_the_packages_ends_and_says_how_to_get_them(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(missing_package, "is_installed", lambda name: name != "torch")
    assert run(tmp_path, tmp_path / "out") == 4
    told = capsys.readouterr().err
    assert "Python packages are missing: torch." in told
    assert "PythonSlicer -m pip install torch" in told


def test_a_script_that_meets_something_unforeseen_ends_all_the_same(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(headless, "segment_batch", lambda *_arguments, **_options: 1 / 0)
    assert run(tmp_path, tmp_path / "out") == 4
    assert "unexpected ZeroDivisionError" in capsys.readouterr().err


def test_a_script_in_a_slicer_without_the_extension_ends_all_the_same(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "MultiTaskSegLib.headless", None)
    with pytest.raises(ImportError):
        run(tmp_path, tmp_path / "out")


def test_the_console_says_what_is_missing_before_anything_is_started(stand_ins, session, monkeypatch):
    from Testing.slicer import scene_samples
    from Testing.slicer.stand_ins.panel import load_module

    monkeypatch.setattr(missing_package, "is_installed", lambda _name: False)
    volume = scene_samples.volume()
    segmentation, check = load_module("MultiTaskSeg").MultiTaskSegLogic(), load_module("OODCheck").OODCheckLogic()
    calls = (
        lambda: segmentation.segment(volume),
        lambda: segmentation.segmentBatch([volume]),
        lambda: check.check(volume),
        lambda: check.checkImages([volume]),
    )
    for call in calls:
        with pytest.raises(ResourceError, match="Python packages are missing: torch, safetensors"):
            call()
