"""The sample data: the files in the extension, and how they are offered (Slicer's Sample Data module is a stand-in)."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import types
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.image_file import read_image
from trainer.phantom.sample import sample_volumes

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

MAX_BYTES = 1_200_000


@pytest.fixture
def sample_data(stand_ins, session):
    return importlib.import_module("MultiTaskSegLib.registration.sample_data")


HEAD = types.SimpleNamespace(
    uris=["https://host/SHA256/cc21"], fileNames=["MR-head.nrrd"], nodeNames=["MRHead"], checksums=["SHA256:cc21"]
)


class SampleDataStandIn:
    """``SampleData.SampleDataLogic`` with the signature that Slicer 5.10 to 5.13 has."""

    registered: list[dict] = []  # noqa: RUF012  (of one test, see the fixture)
    own: dict[str, object] = {"MRHead": HEAD}  # noqa: RUF012
    has_network = True

    def __init__(self, logMessage=None):
        self.logMessage = logMessage or print

    def sourceForSampleName(self, sampleName):
        return self.own.get(sampleName)

    def downloadSamples(self, sampleName):
        """A node for each file; without a network a message and none."""
        if not self.has_network:
            self.logMessage("Download failed", 40)
            return []
        names = self.own[sampleName].nodeNames
        return [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in names]

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
        loadFileType=None,
    ):
        arguments = dict(locals())
        lists = [arguments[name] for name in ("uris", "fileNames", "nodeNames", "loadFileTypes", "checksums")]
        assert len({len(values) for values in lists}) == 1
        SampleDataStandIn.registered.append(arguments)

    def downloadFromSource(self, source):
        """Fetch, compare the checksum and load, as Slicer does."""
        nodes = []
        for uri, name, checksum in zip(source.uris, source.nodeNames, source.checksums, strict=True):
            content = urllib.request.urlopen(uri).read()
            assert checksum == f"SHA256:{hashlib.sha256(content).hexdigest()}"
            nodes.append(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name))
        return nodes


@pytest.fixture
def registered(monkeypatch, session):
    SampleDataStandIn.registered = []
    session.modules.sampledata = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=SampleDataStandIn))
    return SampleDataStandIn.registered


def test_the_files_are_what_the_phantoms_give(sample_data):
    volumes = sample_volumes()
    assert [sample.name for sample in sample_data.SAMPLES] == list(volumes)
    for sample in sample_data.SAMPLES:
        stored, made = read_image(sample.path), volumes[sample.name]
        np.testing.assert_allclose(stored.ijk_to_lps, made.ijk_to_lps, atol=1e-9)
        # Another build of numpy may round the last bit of a voxel otherwise.
        assert np.mean(stored.voxels != made.voxels) < 1e-4
        assert np.abs(stored.voxels - made.voxels).max() <= 1.0


def test_checksums_and_size_are_kept(sample_data):
    for sample in sample_data.SAMPLES:
        assert hashlib.sha256(sample.path.read_bytes()).hexdigest() == sample.sha256
        assert sample.thumbnail.is_file()
    assert sum(path.stat().st_size for path in sample_data.sample_folder().iterdir()) < MAX_BYTES


def test_every_sample_is_registered_with_address_checksum_and_thumbnail(sample_data, registered):
    sample_data.register_sample_data()
    names = ["Real head (MRHead)", "PhantomHead", "PhantomHeart", "PhantomKnee", "Tutorial"]
    assert [source["sampleName"] for source in registered] == names
    assert {source["category"] for source in registered} == {"MultiTaskSeg"}
    for source in registered[1:]:
        assert Path(source["thumbnailFileName"]).is_file()
        for uri, checksum in zip(source["uris"], source["checksums"], strict=True):
            content = urllib.request.urlopen(uri).read()
            assert checksum == f"SHA256:{hashlib.sha256(content).hexdigest()}"
    parameters = inspect.signature(SampleDataStandIn.registerCustomSampleDataSource).parameters
    assert all(set(source) == set(parameters) for source in registered)


def test_nothing_is_registered_where_the_module_is_disabled(sample_data, session):
    assert not hasattr(slicer.modules, "sampledata")
    sample_data.register_sample_data()


def test_the_tutorial_loads_all_phantoms_and_chooses_their_model_in_both_modules(
    sample_data, registered, open_panel, monkeypatch
):
    widgets = {name: open_panel(name) for name in ("MultiTaskSeg", "OODCheck")}
    monkeypatch.setattr(slicer.util, "getModuleLogic", lambda name: widgets[name].logic)
    sample_data.register_sample_data()
    source = types.SimpleNamespace(**registered[-1])
    nodes = source.customDownloader(source)
    assert [node.GetName() for node in nodes] == ["PhantomHead", "PhantomHeart", "PhantomKnee"]
    for widget in widgets.values():
        assert Path(widget.logic.getParameterNode().modelPath) == sample_data.sample_model()
    assert Path(widgets["OODCheck"].ui.modelPathLineEdit.currentPath) == sample_data.sample_model()


def test_the_tutorial_chooses_its_model_also_where_one_module_is_disabled(
    sample_data, registered, open_panel, monkeypatch
):
    widget = open_panel("OODCheck")
    monkeypatch.setattr(slicer.util, "getModuleLogic", lambda name: {"OODCheck": widget.logic}[name])
    sample_data.register_sample_data()
    source = types.SimpleNamespace(**registered[-1])
    source.customDownloader(source)
    assert Path(widget.logic.getParameterNode().modelPath) == sample_data.sample_model()


def test_the_real_head_is_slicers_own_and_no_copy_of_it_is_kept_here(sample_data, registered, monkeypatch):
    sample_data.register_sample_data()
    assert {name: registered[0][name] for name in vars(HEAD)} == vars(HEAD)
    assert registered[0]["thumbnailFileName"] is None  # Slicer has one of that name
    registered.clear()
    monkeypatch.setattr(SampleDataStandIn, "own", {})  # a Slicer that has no such sample
    sample_data.register_sample_data()
    assert [source["sampleName"] for source in registered][:1] == ["PhantomHead"]


def test_the_real_head_is_chosen_in_both_modules_and_the_image_decides_which_model_it_goes_to(
    sample_data, registered, open_panel, monkeypatch
):
    widgets = {name: open_panel(name) for name in ("MultiTaskSeg", "OODCheck")}
    monkeypatch.setattr(slicer.util, "getModuleLogic", lambda name: widgets[name].logic)
    sample_data.register_sample_data()
    tutorial, head = (types.SimpleNamespace(**registered[number]) for number in (-1, 0))
    tutorial.customDownloader(tutorial)
    (node,) = head.customDownloader(head)
    assert node.GetName() == "MRHead"
    for widget in widgets.values():
        assert widget.logic.getParameterNode().modelPath == ""
        assert widget.logic.getParameterNode().inputVolume is node


def test_a_real_head_that_cannot_be_downloaded_is_told_where_slicer_tells_it_and_changes_nothing(
    sample_data, registered, open_panel, monkeypatch, session
):
    widget = open_panel("MultiTaskSeg")
    monkeypatch.setattr(slicer.util, "getModuleLogic", lambda name: widget.logic)
    parameters, told = widget.logic.getParameterNode(), []
    parameters.modelPath = str(sample_data.sample_model())
    monkeypatch.setattr(SampleDataStandIn, "has_network", False)
    shown = types.SimpleNamespace(logMessage=lambda *message: told.append(message))
    session.modules.SampleDataWidget = shown
    assert sample_data.load_head() == []
    assert told == [("Download failed", 40)]
    assert parameters.modelPath == str(sample_data.sample_model())
    monkeypatch.setattr(SampleDataStandIn, "downloadSamples", lambda *_: [None, "/cache/MR-head.nrrd"])
    assert sample_data.load_head() == []


def test_the_model_of_the_phantoms_knows_head_and_heart_but_no_knee(sample_data):
    from MultiTaskSegLib.runtime.predictor import Predictor

    predictor = Predictor.load(sample_data.sample_model(), "cpu")
    verdicts = {sample.name: predictor.check(read_image(sample.path)) for sample in sample_data.SAMPLES}
    assert {name: verdict.is_ood for name, verdict in verdicts.items()} == {
        "PhantomHead": False,
        "PhantomHeart": False,
        "PhantomKnee": True,
    }
    assert verdicts["PhantomHead"].nearest_task == "Dataset901_PhantomBrainT1"
    assert verdicts["PhantomHeart"].nearest_task == "Dataset902_PhantomHeartCine"
