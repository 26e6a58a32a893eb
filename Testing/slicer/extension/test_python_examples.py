"""The Python examples of the documents run, on real MRML nodes and the real worker, and print what the text says."""

from __future__ import annotations

import json
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
from Testing.house.source_tree import REPOSITORY, tracked_files
from Testing.runtime.imported.imported_models import imported, of_two_channels
from Testing.slicer import scene_samples as samples
from Testing.slicer.correction.test_correcting import EditorStandIn, install
from Testing.slicer.pictures import add_volume
from Testing.slicer.scene.test_batch import cine
from Testing.slicer.stand_ins import segment_statistics

SAMPLE = REPOSITORY / "MultiTaskSeg" / "Resources" / "SampleData" / "PhantomHead.nrrd"
EXAMPLE = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)


def _for_this_machine(text: str, folder: Path) -> str:
    """Folders of the user's are in the folder of the test, and structures are those that the stand-in worker finds."""
    text = text.replace("left ventricle", "bright part")
    return text.replace('"C:/', f'"{folder.as_posix()}/').replace("left_ventricle", "bright")


@pytest.fixture
def run_example(stand_ins, session, tmp_path, monkeypatch):
    """Runs one Python block of a document in a fresh namespace with the given names."""
    from Testing.slicer.stand_ins.panel import load_module

    logics = {name: getattr(load_module(name), f"{name}Logic")() for name in ("MultiTaskSeg", "OODCheck")}
    monkeypatch.setattr(slicer.util, "getModuleLogic", logics.__getitem__)
    monkeypatch.setattr(slicer.app, "exit", lambda: None, raising=False)

    def run(document: str, number: int, **names: object) -> dict:
        blocks = EXAMPLE.findall((REPOSITORY / document).read_text(encoding="utf-8"))
        path = tmp_path / f"example{number}.py"
        path.write_text(_for_this_machine(blocks[number], tmp_path), encoding="utf-8")
        return runpy.run_path(str(path), init_globals={"slicer": slicer, **names})

    yield run
    job.shared_runner().close()


@pytest.fixture
def phantoms(stand_ins, session):
    """The sample data."""
    from MultiTaskSegLib.registration import sample_data

    return sample_data


def test_the_examples_of_oodcheck_run(run_example, worker, capsys):
    node = samples.volume()
    run_example("docs/oodcheck.md", 0, volumeNode=node)
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
    run_example("docs/oodcheck.md", 1)
    assert codes == [code]
    if code == 0:
        assert "PhantomHead.nrrd" in (tmp_path / "table.csv").read_text("utf-8-sig")


def test_the_tutorial_in_python_finds_the_foreign_image(run_example, phantoms, monkeypatch, capsys):
    paths = {sample.name: sample.path for sample in phantoms.SAMPLES}
    logic = types.SimpleNamespace(downloadSample=lambda name: add_volume(read_image(paths[name]), name))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=lambda: logic))
    run_example("docs/tutorial.md", 0, model=phantoms.sample_model())
    assert capsys.readouterr().out.splitlines() == [
        "PhantomHead in distribution",
        "PhantomHeart in distribution",
        "PhantomKnee out of distribution",
    ]


def test_the_released_model_finds_all_phantoms_foreign_as_the_tutorial_says(phantoms):
    predictor = Predictor.load(released_model(planar=False), "cpu")
    assert all(predictor.check(read_image(sample.path)).is_ood for sample in phantoms.SAMPLES)


@pytest.fixture
def result(run_example, worker):
    """Of a segmentation by the stand-in worker."""
    return slicer.util.getModuleLogic("MultiTaskSeg").segment(samples.volume())


def test_the_example_of_the_readme_segments_and_checks(run_example, worker):
    samples.volume(name="MRHead")
    found = run_example("README.md", 0)
    assert found["result"].segmentation.GetSegmentation().GetNumberOfSegments() == 1
    assert found["verdict"].nearest_task == "phantom"


def test_the_example_of_several_channels_takes_them_in_order_or_by_name(run_example, worker, tmp_path):
    nodes = {name: samples.volume(name=name) for name in ("t1Node", "flairNode")}
    run_example("docs/own_nnunet.md", 0, **nodes, model=two_channel_model(tmp_path))
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 2


def test_the_first_example_of_the_modules_segments_compares_and_measures(
    run_example, worker, result, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "SegmentStatistics", segment_statistics)
    nodes = {name: samples.volume(name=name) for name in ("volumeNode", "t1Node", "flairNode")}
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "ROI")
    roi.SetSize(9.0, 9.0, 9.0)
    roi.SetCenter(*slicer.util.arrayFromVolume(nodes["volumeNode"]).shape)
    found = run_example(
        "docs/slicer.md", 0, **nodes, task="phantom", roiNode=roi, referenceNode=result.segmentation,
        model=two_channel_model(tmp_path),
    )  # fmt: skip
    assert found["verdict"].nearest_task == "phantom"
    assert "Surface [mm2]" in (tmp_path / "figures.csv").read_text("utf-8-sig")


def test_the_example_of_a_batch_takes_volumes_files_and_a_sequence(run_example, worker, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "SegmentStatistics", segment_statistics)
    (tmp_path / "scans").mkdir()
    shutil.copy(SAMPLE, tmp_path / "scans")
    nodes = [samples.volume(name=name) for name in ("first", "second")]
    names = {"volumeNode1": nodes[0], "volumeNode2": nodes[1], "volumeNode": nodes[0], "manyVolumes": nodes}
    found = run_example("docs/slicer.md", 1, **names, sequenceNode=cine(), task="phantom")["found"]
    assert [row.error for row in found.rows] == ["", ""]
    assert (tmp_path / "results").is_dir()


@pytest.mark.parametrize(("folder", "code"), [("images", 0), ("no such folder", 4)])
def test_the_headless_example_segments_a_folder_and_ends(run_example, worker, tmp_path, monkeypatch, folder, code):
    (tmp_path / "images").mkdir()
    shutil.copy(SAMPLE, tmp_path / "images")
    codes: list[int] = []
    monkeypatch.setattr(slicer.util, "exit", codes.append)
    monkeypatch.setattr(sys, "argv", ["segment_folder.py", str(tmp_path / folder), str(tmp_path / "out")])
    run_example("docs/slicer.md", 2)
    assert codes == [code]
    assert code or {"batch.csv", "batch.html"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_the_example_of_the_loop_corrects_keeps_and_trains(
    run_example, session, worker, result, models, fake_trainer, tmp_path, monkeypatch
):
    install(session, monkeypatch, "SegmentEditor", editor=EditorStandIn())
    segmentation = result.segmentation
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        (samples.labels() > 0).astype("uint8"), segmentation, "bright", slicer.util.getNode("Scan")
    )
    # The stand-in's model does not say what the image shows; a dataset that is there does.
    dataset = tmp_path / "data" / "Dataset201_Brain"
    dataset.mkdir(parents=True)
    told = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "bright": 1}, "file_ending": ".nii.gz"}
    (dataset / "dataset.json").write_text(json.dumps({**told, "numTraining": 0}), encoding="utf-8")
    # Neither is its model a file.
    monkeypatch.setattr("MultiTaskSegLib.loop.learning.model_of", lambda _result: released_model(planar=False))
    python, asked = fake_trainer("good"), []
    monkeypatch.setattr("MultiTaskSegLib.loop.learning.find_trainer", lambda path: asked.append(path) or python)
    found = run_example("docs/slicer.md", 3, result=result)
    assert found["model"].parent == models
    assert [Path(path).name for path in asked] == ["MultiTaskSeg"]


def test_the_example_of_a_parametric_map_writes_it(run_example, worker, result, tmp_path, monkeypatch):
    pytest.importorskip("highdicom", reason="highdicom is not installed for this Python")
    pytest.importorskip("pydicom", reason="pydicom writes the DICOM files of these tests")
    from Testing.slicer.scene.test_dicom_seg import write_series

    volume = slicer.util.getNode("Scan")
    (tmp_path / "series").mkdir()
    write_series(volume, tmp_path / "series")
    paths = {str(number): str(path) for number, path in enumerate(sorted((tmp_path / "series").iterdir()))}
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(paths))
    monkeypatch.setattr(slicer, "dicomDatabase", types.SimpleNamespace(fileForInstance=paths.get), raising=False)
    monkeypatch.chdir(tmp_path)
    run_example("docs/slicer.md", 4, result=result, volumeNode=volume)
    assert (tmp_path / "uncertainty.dcm").stat().st_size > 1000


def two_channel_model(folder: Path) -> Path:
    """A model of two channels, T1 and FLAIR."""
    return imported(folder / "two", **of_two_channels())


@pytest.mark.parametrize(
    "document", ["README.md", "docs/oodcheck.md", "docs/own_nnunet.md", "docs/slicer.md", "docs/tutorial.md"]
)
def test_every_example_of_a_document_is_run_here(document):
    tested = set(re.findall(rf'run_example\(\s*"{re.escape(document)}", (\d)', Path(__file__).read_text("utf-8")))
    assert tested == {str(number) for number in range(len(EXAMPLE.findall((REPOSITORY / document).read_text("utf-8"))))}


def test_no_other_document_has_an_example_in_python():
    have = {
        path.relative_to(REPOSITORY).as_posix()
        for path in tracked_files("*.md")
        if EXAMPLE.search(path.read_text("utf-8"))
    }
    assert have == {"README.md", "docs/oodcheck.md", "docs/own_nnunet.md", "docs/slicer.md", "docs/tutorial.md"}
