"""Many checks in a row: order, progress, failures, and the same verdicts as alone with the real worker."""

from __future__ import annotations

import importlib
import types

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
pytestmark = pytest.mark.usefixtures("stand_ins", "session")

from MultiTaskSegLib import job
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import Cancelled, InputError, ModelError, ResourceError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.sitk_image import to_sitk, write_image
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.scene.volume import image_from_node
from Testing.runtime.tiny_model import write_tiny_model
from Testing.slicer import scene_samples as samples

VERDICT = Verdict(False, 1.0, 2.0, 0.5, "hearts", {"hearts": 1.0})


class CheckStandIn:
    """One check: over after one poll, with a verdict or an error."""

    def __init__(self, outcome) -> None:
        is_error = isinstance(outcome, Exception)
        self.error = outcome if is_error else None
        self.found = None if is_error else JobResult({"ood": outcome.as_dict()}, None, None, [], [])
        self.fraction, self.step, self.polls, self.is_ended = 0.5, "network", 0, False

    def poll(self) -> bool:
        self.polls += 1
        return self.polls > 1

    def result(self) -> JobResult:
        if self.error is not None:
            raise self.error
        return self.found

    def cancel(self, _reason: str = "") -> None:
        self.is_ended = True


@pytest.fixture
def batch():
    """Makes a batch with the given outcomes and a clock that is moved by hand."""
    module = importlib.import_module("OODCheckLib.check_batch")
    item = importlib.import_module("OODCheckLib.image_item").ImageItem
    made = types.SimpleNamespace(now_s=0.0, runs=[])

    def make(*outcomes):
        left = list(outcomes)

        def start(_item):
            made.runs.append(CheckStandIn(left.pop(0)))
            return made.runs[-1]

        items = [item(f"image {number}") for number in range(len(outcomes))]
        return module.CheckBatch(items, start, lambda _item, found: found.verdict, clock=lambda: made.now_s), made

    return make


def run_to_the_end(batch) -> None:
    for _poll in range(100):
        if batch.poll():
            return
    raise AssertionError("the batch does not end")


def test_progress_and_time_left_follow_the_images(batch):
    made, state = batch(VERDICT, VERDICT)
    assert made.eta_s is None
    made.poll()
    state.now_s = 2.0
    assert (made.fraction, made.eta_s, made.step) == (0.25, 6.0, "1/2 image 0: network")
    made.poll()
    made.poll()
    state.now_s = 4.0
    assert (made.fraction, made.eta_s) == (0.5, 4.0)
    run_to_the_end(made)
    assert (made.fraction, made.eta_s) == (1.0, 0.0)


def test_a_refused_image_is_noted_and_the_next_one_follows(batch):
    made, _state = batch(InputError("upside down", file="x", remedy="Turn it"), VERDICT, Cancelled("volume removed"))
    run_to_the_end(made)
    assert made.error is None
    assert [image.verdict for image in made.checked] == [None, VERDICT, None]
    assert made.checked[0].message == "upside down: x. Turn it."


def test_one_death_of_the_worker_is_forgiven_but_not_two_in_a_row(batch):
    died = ResourceError("out of memory")
    made, _state = batch(died, VERDICT, died, died, VERDICT)
    run_to_the_end(made)
    assert made.error is died
    assert [image.verdict for image in made.checked] == [None, VERDICT, None, None]


def test_a_model_that_cannot_be_used_ends_the_batch_at_once(batch):
    damaged = ModelError("damaged")
    made, _state = batch(damaged, VERDICT)
    run_to_the_end(made)
    assert made.error is damaged


def test_closing_the_scene_ends_the_batch_and_forgets_what_was_found(batch, session):
    made, state = batch(VERDICT, VERDICT, VERDICT)
    for _poll in range(4):
        made.poll()
    assert len(made.checked) == 1
    session.scene.Clear(0)
    assert isinstance(made.error, Cancelled)
    assert made.checked == []
    assert state.runs[-1].is_ended
    assert made.poll()


def test_what_was_found_before_a_cancel_stays(batch):
    made, _state = batch(VERDICT, VERDICT)
    for _poll in range(3):
        made.poll()
    made.end()
    assert [image.verdict for image in made.checked] == [VERDICT]
    with pytest.raises(Cancelled):
        made.wait()


def test_a_volume_that_is_removed_before_its_turn_gets_a_line(session, worker):
    check = importlib.import_module("OODCheckLib.check")
    images = importlib.import_module("OODCheckLib.image_item")
    first, second = samples.volume(name="first"), samples.volume(name="second")
    made = check.start_batch(images.image_items(None), None, "cpu", False)
    made.poll()
    session.scene.RemoveNode(second)
    made.wait()
    assert [image.verdict is None for image in made.checked] == [False, True]
    assert "was removed" in made.checked[1].message
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
    verdicts = {found.item.name: found.verdict for found in made.checked}
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
