"""From a results folder of nnU-Net through the real worker into the list of models, and from there into the scene."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.model_list import listed_models
from MultiTaskSegLib.scene.attributes import is_unchecked
from MultiTaskSegLib.scene.result import add_result
from MultiTaskSegLib.scene.volume import image_from_node
from MultiTaskSegLib.task_list import known_tasks
from Testing.runtime.imported.imported_models import REGIONS, results_folder
from Testing.slicer import scene_samples as samples

pytestmark = pytest.mark.usefixtures("session")
SHAPE = (14, 18, 22)


@pytest.fixture(scope="module")
def runner():
    """One worker for all of these tests: starting one takes longer than what is asked of it."""
    made = JobRunner()
    yield made
    made.close()


def speckled(name: str, kind: str, seed: int):
    voxels = np.random.default_rng(seed).normal(100, 30, SHAPE).astype(np.float32)
    return slicer.util.addVolumeFromArray(voxels, ijkToRAS=samples.ijk_to_ras(kind), name=name)


def test_a_folder_of_nnunet_becomes_a_model_whose_overlapping_segments_come_into_the_scene(
    runner, tmp_path, monkeypatch
):
    folder = results_folder(tmp_path / "results", folds=2, dataset=REGIONS)
    monkeypatch.setenv("MULTITASKSEG_MODELS", str(tmp_path / "own"))
    (model,) = runner.trained_models(folder).wait().models
    assert model["folds"] == ["0", "1"]
    output = tmp_path / "own" / "mine.mts.safetensors"
    told = {key: model[key] for key in ("configuration", "trainer", "plans")}
    done = runner.import_model(folder, output, **told, folds=["1"], licence="ours alone", name="mine").wait()
    assert "Licence, as stated at the import: ours alone" in done.card
    entry = listed_models()[-1]
    assert (entry.name, entry.path, entry.problem) == ("mine", output, "")
    assert (entry.licence, entry.is_checked, entry.is_planar) == ("ours alone", False, False)
    assert runner.card(output).wait().card == done.card
    (task,) = known_tasks(output)
    assert task.inputs == tuple(REGIONS["channel_names"].values())
    nodes = [
        speckled(name, kind, seed)
        for seed, (name, kind) in enumerate(zip(task.inputs, ("axial", "axial"), strict=False))
    ]
    images = [image_from_node(node) for node in nodes]
    found = runner.segment(images[0], model=output, further=images[1:]).wait()
    assert found.verdict is None
    assert found.regions.shape == (3, *SHAPE)
    made = add_result(nodes[0], found)
    assert is_unchecked(made.segmentation)
    ids = [entry["name"] for entry in found.legend]
    masks = [slicer.util.arrayFromSegmentBinaryLabelmap(made.segmentation, name, nodes[0]) > 0 for name in ids]
    np.testing.assert_array_equal(masks, found.regions)


def test_an_altered_model_is_told_when_it_is_looked_at(runner, tmp_path):
    path = results_folder(tmp_path / "results")
    output = tmp_path / "mine.mts.safetensors"
    runner.import_model(path, output, licence="unknown").wait()
    content = bytearray(output.read_bytes())
    content[-1] ^= 1
    output.write_bytes(content)
    with pytest.raises(ModelError, match="the digest does not match"):
        runner.card(output).wait()


def test_what_is_no_folder_of_nnunet_is_told_and_nothing_is_written(runner, tmp_path):
    with pytest.raises(ModelError, match="there is no trained model of nnU-Net v2"):
        runner.trained_models(tmp_path).wait()
    with pytest.raises(ModelError, match="there is no trained model of nnU-Net v2"):
        runner.import_model(tmp_path, tmp_path / "x.mts.safetensors", licence="unknown").wait()
    assert not (tmp_path / "x.mts.safetensors").exists()
