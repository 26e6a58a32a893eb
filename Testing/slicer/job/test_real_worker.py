"""From a volume node through the real worker process and a real (tiny, untrained) model back into the scene."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.runtime.errors import Cancelled, InputError, ModelError, ResourceError, UsageError
from MultiTaskSegLib.runtime.image.image_file import read_label_map
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.scene import attributes
from MultiTaskSegLib.scene.batch.scene_batch import BatchOptions, segment_batch
from MultiTaskSegLib.scene.result import add_result
from MultiTaskSegLib.scene.volume import image_from_node
from MultiTaskSegLib.task_list import task_names
from Testing.runtime.tiny_model import write_tiny_model
from Testing.slicer import scene_samples as samples

SHAPE = (14, 18, 22)
LIMITED_WORKER = """
import resource, sys
from MultiTaskSegLib.runtime import predictor, worker
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv.pop(1)),) * 2)
sys.exit(worker.main(sys.argv[1:]))
"""
SMALL_WORKER = """
import sys
from MultiTaskSegLib.runtime.machine import compute_device
from MultiTaskSegLib.runtime import worker
free_bytes = int(sys.argv.pop(1))
compute_device.available_bytes = lambda: free_bytes
sys.exit(worker.main(sys.argv[1:]))
"""
pytestmark = pytest.mark.usefixtures("session")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("modèle") / "tiny 模型.mts.safetensors")


@pytest.fixture
def runner(scratch):
    made = JobRunner()
    yield made
    made.close()


def speckled(kind: str = "axial", shape: tuple[int, int, int] = SHAPE):
    voxels = np.random.default_rng(11).normal(100, 30, shape).astype(np.float32)
    return slicer.util.addVolumeFromArray(voxels, ijkToRAS=samples.ijk_to_ras(kind), name="Speckle")


@pytest.mark.parametrize("kind", ["axial", "oblique", "left-handed"])
def test_the_scene_gets_exactly_what_the_predictor_gives(runner, model, kind):
    volume = speckled(kind)
    samples.linear_transform(volume, np.diag([1.0, -1.0, 1.0, 1.0]))
    image = image_from_node(volume)
    expected = Predictor.load(model, "cpu").segment(image, "Dataset001_Balls")
    result = add_result(volume, runner.segment(image, task="Dataset001_Balls", model=model, device="cpu").wait(120))
    for label in expected.task.labels:
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, label.name, volume)
        np.testing.assert_array_equal(mask, expected.labels == label.value)
        segment = result.segmentation.GetSegmentation().GetSegment(label.name)
        assert segment.GetName() == label.display_name
        np.testing.assert_allclose(np.multiply(segment.GetColor(), 255), label.colour, atol=1e-9)
        assert segment.GetTerminology() == label.terminology
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(result.uncertainty), expected.uncertainty)
    assert result.ood == expected.verdict
    assert result.segmentation.GetAttribute("MultiTaskSeg.Model.SHA256") == expected.model_sha256
    assert attributes.read_verdict(volume) == expected.verdict


def test_check_and_segment_give_the_same_verdict(runner, model):
    image = image_from_node(speckled())
    found = runner.check(image, model=model, device="cpu").wait(120)
    assert found.verdict == runner.segment(image, model=model, device="cpu").wait(120).verdict
    assert found.report["model"]["name"] == "tiny"


def test_a_thorough_batch_tells_of_each_image_what_a_run_on_it_alone_tells(runner, model):
    volumes = [speckled(), speckled("oblique")]
    asked = {"task": "Dataset001_Balls", "model": model, "device": "cpu"}
    rows = segment_batch(volumes, BatchOptions(**asked, thorough=True), runner=runner).rows
    for volume, row in zip(volumes, rows, strict=True):
        alone = runner.segment(image_from_node(volume), **asked, wish={"thorough": True}).wait(120).report
        assert (row.thorough, row.agreement) == (alone["thorough"]["answer"], alone["thorough"]["agreement"])
        assert row.agreements == {label["name"]: label["agreement"] for label in alone["labels"]}
        assert row.p_value == alone["ood"]["p_value"]


def test_the_map_of_the_worker_is_that_of_the_predictor(runner, tmp_path):
    located = write_tiny_model(tmp_path / "located.mts.safetensors", with_cells=True)
    image = image_from_node(speckled("oblique"))
    found = runner.check(image, model=located, device="cpu", with_map=True).wait(120)
    verdict, rarity = Predictor.load(located, "cpu").locate(image)
    np.testing.assert_array_equal(found.foreign, rarity)
    assert found.verdict == verdict
    assert [band["layer"] for band in found.spectra] == [band.layer for band in verdict.explanation.spectra]
    assert runner.check(image, model=located, device="cpu").wait(120).foreign is None


def test_a_file_is_segmented_and_checked_as_the_volume_that_it_holds(runner, model, tmp_path):
    volume = speckled("oblique")
    assert slicer.util.arrayFromVolume(volume).shape == SHAPE
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / "spräckel.nrrd"))
    assert storage.WriteData(volume)
    verdict = runner.check(image_from_node(volume), model=model, device="cpu").wait(120).verdict
    assert runner.check_file(tmp_path / "spräckel.nrrd", model=model, device="cpu").wait(120).verdict == verdict
    found = runner.segment_file(tmp_path / "spräckel.nrrd", tmp_path / "out", model=model, device="cpu").wait(120)
    assert found.verdict == verdict
    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8")) == found.report
    written = read_label_map(tmp_path / "out" / "segmentation.nii.gz")[0]
    expected = runner.segment(image_from_node(volume), model=model, device="cpu").wait(120).labels
    np.testing.assert_array_equal(written, expected)


def test_the_worker_tells_its_devices_with_the_cpu_last(runner):
    devices = runner.devices().wait(120).devices
    assert devices[-1]["name"] == "cpu"
    assert 0 < devices[-1]["free_bytes"] <= devices[-1]["total_bytes"]


def test_an_image_that_cannot_fit_is_refused_before_it_is_run_with_both_sizes(scratch, model):
    runner = JobRunner([sys.executable, "-c", SMALL_WORKER, "100000"])
    try:
        with pytest.raises(
            ResourceError, match=r"needs (about|at least) \d+ [MG]B of memory, and \d+ MB are free.*crop"
        ):
            runner.segment(image_from_node(speckled()), model=model, device="cpu").wait(120)
    finally:
        runner.close()


@pytest.mark.parametrize(
    "statement", ["raise ImportError('no torch here')", "raise OSError('[WinError 1114] c10.dll')"]
)
def test_a_broken_torch_is_told_in_one_line_and_the_next_job_works(scratch, model, tmp_path, monkeypatch, statement):
    (tmp_path / "broken" / "torch").mkdir(parents=True)
    (tmp_path / "broken" / "torch" / "__init__.py").write_text(statement)
    runner = JobRunner()
    image = image_from_node(speckled())
    try:
        with monkeypatch.context() as broken:
            broken.setenv("PYTHONPATH", str(tmp_path / "broken"))
            with pytest.raises(ResourceError, match="Install PyTorch with the PyTorch extension") as caught:
                runner.segment(image, model=model, device="cpu").wait(120)
        assert "\n" not in str(caught.value)
        runner.close()
        assert runner.segment(image, model=model, device="cpu").wait(120).labels is not None
    finally:
        runner.close()


def test_a_2d_image_goes_through_a_2d_model(runner, tmp_path):
    planar = write_tiny_model(tmp_path / "planar.mts.safetensors", is_planar=True)
    volume = speckled(shape=(1, 40, 50))
    result = add_result(volume, runner.segment(image_from_node(volume), model=planar, device="cpu").wait(120))
    assert slicer.util.arrayFromVolume(result.uncertainty).shape == (1, 40, 50)


def test_a_volume_for_a_2d_model_is_refused_in_words(runner, tmp_path):
    planar = write_tiny_model(tmp_path / "planar.mts.safetensors", is_planar=True)
    with pytest.raises(InputError, match="3-D"):
        runner.segment(image_from_node(speckled()), model=planar, device="cpu").wait(120)


def test_a_task_that_the_model_does_not_know_is_refused_with_those_it_knows(runner, model):
    with pytest.raises(UsageError, match="Dataset001_Balls"):
        runner.segment(image_from_node(speckled()), task="teeth", model=model, device="cpu").wait(120)


def test_a_constant_image_is_refused_and_the_worker_goes_on(runner, model):
    flat = slicer.util.addVolumeFromArray(np.full(SHAPE, 7.0, np.float32), name="Flat")
    with pytest.raises(InputError, match="Flat"):
        runner.check(image_from_node(flat), model=model, device="cpu").wait(120)
    assert runner.check(image_from_node(speckled()), model=model, device="cpu").wait(120).verdict


def test_a_damaged_model_is_refused(runner, model, tmp_path):
    damaged = tmp_path / "damaged.mts.safetensors"
    content = bytearray(model.read_bytes())
    content[-5] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged\.mts\.safetensors"):
        runner.check(image_from_node(speckled()), model=damaged, device="cpu").wait(120)


def test_the_tasks_in_the_header_are_those_that_the_worker_tells(runner, model):
    assert task_names(model) == [task["name"] for task in runner.info(model=model).wait(120).tasks]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64, b"\x02" + bytes(7) + b"{}"])
def test_a_file_that_is_no_model_offers_no_tasks(tmp_path, content):
    (tmp_path / "no.mts.safetensors").write_bytes(content)
    assert task_names(tmp_path / "no.mts.safetensors") == []


@pytest.mark.parametrize("moment", ["at once", "when the worker has begun"])
def test_cancelling_the_real_worker_leaves_nothing_behind(runner, model, scratch, moment):
    image = image_from_node(speckled(shape=(120, 140, 130)))
    job = runner.segment(image, model=model, device="cpu")
    process = runner._worker.process
    if moment == "when the worker has begun":
        while not job.poll() and job.step == "starting":
            pass
    job.cancel()
    assert process.poll() is not None
    assert list(scratch.iterdir()) == []
    with pytest.raises(Cancelled):
        job.result()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the memory the Linux way")
def test_with_little_memory_the_image_is_processed_in_smaller_parts_and_says_so(scratch, model):
    image = image_from_node(speckled(shape=(60, 80, 80)))
    # How much is too little depends on the back end: what is said to be free is lowered until it is felt.
    found = None
    for free_bytes in range(80_000_000, 10_000_000, -4_000_000):
        runner = JobRunner([sys.executable, "-c", SMALL_WORKER, str(free_bytes)])
        try:
            found = runner.segment(image, task="Dataset001_Balls", model=model, device="cpu").wait(120)
        except ResourceError:
            continue
        finally:
            runner.close()
        if any("in smaller parts" in warning for warning in found.report["warnings"]):
            break
    assert found is not None
    assert any("in smaller parts" in warning for warning in found.report["warnings"])
    unlimited = Predictor.load(model, "cpu").segment(image, "Dataset001_Balls")
    assert (found.labels == unlimited.labels).mean() > 0.999


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the memory the Linux way")
def test_running_out_of_memory_is_a_resource_error_however_it_ends(scratch, model):
    runner = JobRunner([sys.executable, "-c", LIMITED_WORKER, "120000000"])
    try:
        image = image_from_node(speckled(shape=(200, 200, 200)))
        with pytest.raises(ResourceError, match="memory"):
            runner.segment(image, model=model, device="cpu").wait(120)
    finally:
        runner.close()
    assert os.listdir(scratch) == []
