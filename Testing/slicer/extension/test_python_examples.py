"""The Python examples of the documents run, on real MRML nodes and the real worker, and print what the text says."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
import types
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib import job
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.model.released import released_model
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.house.source_tree import REPOSITORY
from Testing.slicer import scene_samples as samples
from Testing.slicer.pictures import add_volume

EXAMPLE = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)


@pytest.fixture
def run_example(stand_ins, session, tmp_path, monkeypatch):
    """Runs one Python block of a document in a fresh namespace with the given names."""
    from Testing.slicer.stand_ins.panel import load_module

    logics = {name: getattr(load_module(name), f"{name}Logic")() for name in ("MultiTaskSeg", "OODCheck")}
    monkeypatch.setattr(slicer.util, "getModuleLogic", logics.__getitem__)
    monkeypatch.setattr(slicer.app, "exit", lambda: None, raising=False)

    def run(document: str, number: int, **names: object) -> None:
        blocks = EXAMPLE.findall((REPOSITORY / "docs" / document).read_text(encoding="utf-8"))
        path = tmp_path / f"example{number}.py"
        path.write_text(blocks[number], encoding="utf-8")
        runpy.run_path(str(path), init_globals={"slicer": slicer, **names})

    yield run
    job.shared_runner().close()


@pytest.fixture
def phantoms(stand_ins, session):
    """The sample data."""
    from MultiTaskSegLib.registration import sample_data

    return sample_data


def test_the_examples_of_oodcheck_run(run_example, worker, capsys):
    node = samples.volume()
    run_example("oodcheck.md", 0, volumeNode=node)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["False 0.1 0.4 0.7 phantom {'phantom': 0.1, 'other': 0.9}", "Scan False"]
    assert slicer.util.getNode("OOD Check results").GetNumberOfRows() == 1


@pytest.mark.parametrize(("folder", "code"), [("images", 0), ("no such folder", 4)])
def test_the_headless_example_goes_through_a_folder_and_ends(
    run_example, worker, phantoms, tmp_path, monkeypatch, folder, code
):
    (tmp_path / "images").mkdir()
    shutil.copy(phantoms.SAMPLES[0].path, tmp_path / "images")
    codes: list[int] = []
    monkeypatch.setattr(slicer.util, "exit", codes.append)
    monkeypatch.setattr(sys, "argv", ["check_folder.py", str(tmp_path / folder), str(tmp_path / "table.csv")])
    run_example("oodcheck.md", 1)
    assert codes == [code]
    if code == 0:
        assert "PhantomHead.nrrd" in (tmp_path / "table.csv").read_text("utf-8-sig")


def test_the_tutorial_in_python_finds_the_foreign_image(run_example, phantoms, monkeypatch, capsys):
    paths = {sample.name: sample.path for sample in phantoms.SAMPLES}
    logic = types.SimpleNamespace(downloadSample=lambda name: add_volume(read_image(paths[name]), name))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=lambda: logic))
    run_example("tutorial.md", 0, model=phantoms.sample_model())
    assert capsys.readouterr().out.splitlines() == [
        "PhantomHead in distribution",
        "PhantomHeart in distribution",
        "PhantomKnee out of distribution",
    ]


def test_the_released_model_finds_all_phantoms_foreign_as_the_tutorial_says(phantoms):
    predictor = Predictor.load(released_model(planar=False), "cpu")
    assert all(predictor.check(read_image(sample.path)).is_ood for sample in phantoms.SAMPLES)


@pytest.mark.parametrize("document", ["oodcheck.md", "tutorial.md"])
def test_every_example_of_a_document_is_run_here(document):
    tested = set(re.findall(rf'run_example\("{re.escape(document)}", (\d)', Path(__file__).read_text("utf-8")))
    assert tested == {
        str(number) for number in range(len(EXAMPLE.findall((REPOSITORY / "docs" / document).read_text())))
    }
