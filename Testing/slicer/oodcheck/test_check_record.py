"""A verdict belongs to the voxels that were judged: clones, filters, maps, and checks that fail half way."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib import job
from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.scene.attributes import read_verdict
from MultiTaskSegLib.scene.result import add_result
from MultiTaskSegLib.scene.volume import image_from_node
from Testing.slicer import scene_samples as samples

pytestmark = pytest.mark.usefixtures("stand_ins", "session", "worker")


@pytest.fixture
def library(stand_ins, session):
    """A module of OODCheckLib by its name."""
    from Testing.slicer.stand_ins.panel import load_module

    load_module("OODCheck")
    return lambda name: importlib.import_module(f"OODCheckLib.{name}")


@pytest.fixture
def check(library):
    """Checks a volume with a map and waits; ``change`` is called with the volume while the check runs."""

    def run(volume, with_map: bool = True, model: str | None = None, change=lambda volume: None):
        started = library("check").start_check(volume, model, "cpu", with_map)
        change(volume)
        started.job.wait(60)
        return library("check").finish_check(started)

    return run


def clone_of(volume):
    return slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, volume, "filtered copy")


def zero(volume) -> None:
    slicer.util.updateVolumeFromArray(volume, np.zeros_like(slicer.util.arrayFromVolume(volume)))


def test_a_clone_with_other_voxels_shows_no_green_banner(check, library):
    volume = samples.volume()
    check(volume)
    clone = clone_of(volume)
    text = library("check_banner").volume_text
    assert "IN DISTRIBUTION" in text(clone)
    zero(clone)
    assert "IN DISTRIBUTION" not in text(clone)
    assert "was changed after the check" in text(clone)


def test_checking_a_clone_leaves_chart_and_map_of_the_original(check, library):
    volume = samples.volume()
    check(volume)
    chart, maps = library("spectrum_plot").spectrum_chart(volume), library("foreign_map")
    place = maps.foreign_map(volume)
    clone = clone_of(volume)
    assert maps.foreign_map(clone) is None
    check(clone, with_map=False)
    assert maps.foreign_map(volume) is place
    assert library("spectrum_plot").spectrum_chart(volume) is chart


def test_a_check_leaves_no_nodes_but_the_map(check):
    volume = samples.volume()
    before = slicer.mrmlScene.GetNumberOfNodes()
    for _again in range(3):
        check(volume, with_map=False)
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    check(volume)
    with_map = slicer.mrmlScene.GetNumberOfNodes()
    check(volume)
    assert slicer.mrmlScene.GetNumberOfNodes() == with_map
    check(volume, with_map=False)
    assert slicer.mrmlScene.GetNumberOfNodes() == before + 1  # the colour table, which all maps share


def test_a_verdict_on_voxels_that_were_changed_meanwhile_is_not_written(check):
    volume = samples.volume()
    with pytest.raises(InputError, match="voxels were changed"):
        check(volume, change=zero)
    assert read_verdict(volume) is None


def test_verdict_and_model_on_a_volume_are_of_one_run(check):
    volume = samples.volume()
    check(volume, model="/models/A.mts.safetensors")
    found = job.shared_runner().segment(image_from_node(volume), model="/models/B.mts.safetensors").wait(60)
    found.report["ood"] = {**found.report["ood"], "score": 7.7, "is_ood": True}
    add_result(volume, found)
    told = {key: volume.GetAttribute(f"MultiTaskSeg.{key}") for key in ("OOD.Score", "Model", "OOD.Spectrum")}
    assert told == {"OOD.Score": "7.7", "Model": "/models/B.mts.safetensors", "OOD.Spectrum": None}


def test_a_check_that_fails_half_way_leaves_the_earlier_one_whole(check, library, monkeypatch):
    volume = samples.volume()
    check(volume)
    place, before = library("foreign_map").foreign_map(volume), slicer.mrmlScene.GetNumberOfNodes()
    created = volume.GetAttribute("MultiTaskSeg.OOD.Verdict")

    def full(*_arguments: object) -> None:
        raise MemoryError("629 MiB")

    monkeypatch.setattr("MultiTaskSegLib.scene.heatmap._add_legend", full)
    with pytest.raises(ResourceError, match="not enough memory"):
        check(volume)
    assert library("foreign_map").foreign_map(volume) is place
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert volume.GetAttribute("MultiTaskSeg.OOD.Verdict") == created


def test_a_volume_that_is_in_no_scene_is_refused_and_the_worker_stays_free(library):
    volume = samples.volume()
    slicer.mrmlScene.RemoveNode(volume)
    with pytest.raises(InputError, match="removed"):
        library("check").start_check(volume, None, "cpu", False)
    assert not job.shared_runner().is_busy


def test_a_check_does_not_get_between_the_images_of_a_batch(check, library):
    volumes = [samples.volume(name=name) for name in ("one", "two")]
    batch = library("check").start_batch(library("image_item").image_items(volumes), None, "cpu", True)
    with pytest.raises(Exception, match="another run is under way"):
        check(volumes[0])
    batch.wait()
    assert [row.verdict for row in batch.rows] == ["in distribution"] * 2
    assert all(library("foreign_map").foreign_map(volume) is not None for volume in volumes)
