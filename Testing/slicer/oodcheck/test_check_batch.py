"""Many checks in a row: order, progress, failures, and the same verdicts as alone with the real worker."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
pytestmark = pytest.mark.usefixtures("stand_ins", "session")

from MultiTaskSegLib import job
from MultiTaskSegLib.runtime.errors import Cancelled, InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.sitk_image import to_sitk, write_image
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.scene.volume import image_from_node
from Testing.runtime.tiny_model import write_tiny_model
from Testing.slicer import scene_samples as samples

VERDICT = Verdict(False, 1.0, 2.0, 0.5, "hearts", {"hearts": 1.0})


def test_a_closed_scene_ends_the_batch_and_takes_what_was_found_with_it(session, worker):
    check = importlib.import_module("OODCheckLib.check")
    images = importlib.import_module("OODCheckLib.image_item")
    for name in ("first", "second"):
        samples.volume(name=name)
    made = check.start_batch(images.image_items(None), None, "cpu", False)
    while not made.rows:
        made.job.poll()
    session.scene.Clear(0)
    assert made.rows == []
    assert not job.shared_runner().is_busy
    with pytest.raises(Cancelled, match="the scene was closed"):
        made.wait()


def test_a_volume_that_is_removed_before_its_turn_gets_a_line(session, worker):
    check = importlib.import_module("OODCheckLib.check")
    images = importlib.import_module("OODCheckLib.image_item")
    first, second = samples.volume(name="first"), samples.volume(name="second")
    made = check.start_batch(images.image_items(None), None, "cpu", False)
    made.job.poll()
    session.scene.RemoveNode(second)
    made.wait()
    assert [row.ood is None for row in made.rows] == [False, True]
    assert "was removed" in made.rows[1].error
    assert first.GetAttribute("MultiTaskSeg.OOD") is not None


def test_the_real_worker_gives_every_image_the_verdict_that_it_gets_alone(tmp_path, monkeypatch):
    model = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    check = importlib.import_module("OODCheckLib.check")
    images = importlib.import_module("OODCheckLib.image_item")
    monkeypatch.setattr(job, "_shared", job.JobRunner())
    voxels = np.random.default_rng(11).normal(100, 30, (14, 18, 22)).astype(np.float32)
    node = slicer.util.addVolumeFromArray(voxels, ijkToRAS=samples.ijk_to_ras("oblique"), name="Speckle")
    image = image_from_node(node)
    folder = tmp_path / "images"
    folder.mkdir()
    write_image(to_sitk(image.voxels[::-1].copy(), image), folder / "flipped.nrrd")
    (folder / "flat.nrrd").write_bytes(b"")
    try:
        made = check.start_batch(images.image_items([node, *folder.iterdir()]), model, "cpu", False)
        made.wait()
    finally:
        job.shared_runner().close()
    predictor = Predictor.load(model, "cpu")
    verdicts = {row.image: row.ood for row in made.rows}
    assert verdicts["Speckle"] == predictor.check(image)
    assert verdicts["flipped.nrrd"] == predictor.check(read_image(folder / "flipped.nrrd"))
    assert verdicts["flat.nrrd"] is None


@pytest.mark.parametrize("place", ["", "no such folder"])
def test_a_place_that_is_no_folder_is_refused(place):
    images = importlib.import_module("OODCheckLib.image_item")
    with pytest.raises(InputError, match="folder"):
        images.image_items(place)


def test_folders_of_dicom_files_count_as_images_and_their_slices_do_not(tmp_path):
    images = importlib.import_module("OODCheckLib.image_item")
    for folder in (tmp_path, tmp_path / "series"):
        folder.mkdir(exist_ok=True)
        (folder / "001.dcm").write_bytes(bytes(128) + b"DICM")
        (folder / "002.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "empty").mkdir()
    (tmp_path / "Notes.nii.gz").write_bytes(b"x")
    found = {item.path for item in images.image_items(tmp_path)}
    assert found == {tmp_path, tmp_path / "series", tmp_path / "Notes.nii.gz"}
