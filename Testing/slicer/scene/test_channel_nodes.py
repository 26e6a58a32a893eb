"""Several volumes of the scene as the channels of one image: their order, what is refused, and what a result notes."""

from __future__ import annotations

import types

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.errors import Cancelled, InputError, UsageError
from MultiTaskSegLib.scene import result_record
from MultiTaskSegLib.scene.batch.scene_batch import BatchOptions, SceneBatch
from MultiTaskSegLib.scene.channel_nodes import channel_nodes, require_single
from MultiTaskSegLib.scene.image_record import CHANNELS, PREFIX, ImageRecord, changed_since
from MultiTaskSegLib.scene.result import RunNotes, add_result
from MultiTaskSegLib.scene.run import finish_segmentation, start_segmentation
from MultiTaskSegLib.task_list import KnownTask, wanted_inputs
from Testing.runtime.model.header_file import manifest, task_entry, write_header_file
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import found

pytestmark = pytest.mark.usefixtures("session")

PAIR = KnownTask("Dataset007_Tumour", inputs=("T1", "FLAIR"))
OTHER_PAIR = KnownTask("Swapped", inputs=("FLAIR", "T1"))
SINGLE = KnownTask("Single")


@pytest.fixture
def volumes():
    """A T1 and a FLAIR on another grid."""
    return samples.volume(name="T1"), samples.volume("oblique", name="FLAIR", shape=(5, 6, 7))


@pytest.fixture
def model(tmp_path):
    """A model with one task of two channels."""
    return write_header_file(tmp_path / "pair.mts.safetensors", manifest(task_entry(inputs=["T1", "FLAIR"])))


def test_volumes_by_name_are_put_into_the_order_of_the_task(volumes):
    t1, flair = volumes
    assert channel_nodes({"FLAIR": flair, "T1": t1}, [PAIR]) == (t1, flair)
    assert channel_nodes([t1, flair], [PAIR]) == (t1, flair)
    assert channel_nodes(t1, [SINGLE]) == channel_nodes([t1], [SINGLE]) == (t1,)
    assert channel_nodes({"FLAIR": flair, "T1": t1}, [PAIR, OTHER_PAIR], "Swapped") == (flair, t1)


def test_what_does_not_fit_the_task_is_refused_in_words(volumes):
    t1, flair = volumes
    for given, tasks, task, words in (
        (t1, [PAIR], PAIR.name, r"Tumour takes 2 volumes \(T1, FLAIR\), and 1 volume was given"),
        ([t1, flair], [SINGLE], "auto", "the model takes one volume, and 2 volumes were given"),
        ([t1, flair, t1], [PAIR, SINGLE], "auto", "no task of the model takes 3 volumes"),
        ([t1, t1], [PAIR], "auto", "the same volume is given for two channels: T1"),
        ([], [], "auto", "no volume is selected"),
    ):
        with pytest.raises(InputError, match=words):
            channel_nodes(given, tasks, task)
    for given, tasks, words in (
        (
            {"T2": t1, "FLAIR": flair},
            [PAIR],
            r"no task takes the channels FLAIR, T2. There are: 2 volumes \(T1, FLAIR\)",
        ),
        ({"T1": t1, "FLAIR": flair}, [PAIR, OTHER_PAIR], "in different orders"),
    ):
        with pytest.raises(UsageError, match=words):
            channel_nodes(given, tasks)


def test_a_model_that_cannot_be_read_is_the_workers_to_refuse(volumes):
    assert channel_nodes(list(volumes), []) == volumes


def test_one_volume_with_any_task_is_as_it_was():
    assert wanted_inputs([SINGLE, PAIR], "auto") == ()
    assert wanted_inputs([SINGLE, PAIR], PAIR.name) == ("T1", "FLAIR")
    assert wanted_inputs([PAIR], "auto") == ("T1", "FLAIR")
    assert wanted_inputs([KnownTask("a", inputs=("MRI",))], "a") == ()


@pytest.mark.parametrize("by_name", [True, False])
def test_each_channel_travels_with_its_own_grid_and_parent_transform(volumes, model, worker, by_name):
    t1, flair = volumes
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    moved = np.eye(4)
    moved[:3, 3] = 5.0, -7.0, 11.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    flair.SetAndObserveTransformNodeID(transform.GetID())
    given = {"FLAIR": flair, "T1": t1} if by_name else [t1, flair]
    run = start_segmentation(given, "auto", model, "auto", "keep")
    run.job.wait()
    (sent,) = finish_segmentation(run).report["further"]
    np.testing.assert_allclose(sent["ijk_to_ras"], moved @ samples.ijk_to_ras("oblique"))
    assert sent["mean"] == pytest.approx(slicer.util.arrayFromVolume(flair).mean())
    assert (sent["name"], sent["measured"]) == ("FLAIR", "voxel")
    assert (run.volume_node, run.notes.further) == (t1, (flair,))


def test_one_channel_is_sent_as_it_always_was(worker):
    run = start_segmentation(samples.volume(), "auto", None, "auto", "keep")
    run.job.wait()
    assert run.result().report["further"] == []


def test_removing_any_channel_ends_the_run(volumes, model, worker):
    worker("slow")
    run = start_segmentation(list(volumes), "auto", model, "auto", "keep")
    slicer.mrmlScene.RemoveNode(volumes[1])
    with pytest.raises(Cancelled, match="the volume 'FLAIR' was removed"):
        run.result()


def noted(volumes) -> RunNotes:
    t1, flair = volumes
    return RunNotes(record=ImageRecord.of(t1, [flair]), further=(flair,))


def change(volume) -> None:
    slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume) + 1)


def test_a_result_is_refused_when_any_channel_has_changed_meanwhile(volumes):
    notes = noted(volumes)
    change(volumes[1])
    with pytest.raises(InputError, match="the voxels were changed during the run: nothing was added: FLAIR"):
        add_result(volumes[0], found(), notes)


def test_a_result_is_outdated_when_any_channel_changes_and_not_when_one_is_removed(volumes):
    t1, flair = volumes
    made = add_result(t1, found(), noted(volumes))
    for node in (made.segmentation, t1):
        assert not changed_since(t1, node)
    assert result_record.current_verdict(t1) is not None
    change(flair)
    for node in (made.segmentation, t1):
        assert changed_since(t1, node)
    assert result_record.current_verdict(t1) is None
    slicer.mrmlScene.RemoveNode(flair)
    assert not changed_since(t1, made.segmentation)


def test_a_later_run_with_one_channel_forgets_the_other(volumes):
    t1, flair = volumes
    add_result(t1, found(), noted(volumes))
    add_result(t1, found())
    change(flair)
    assert not changed_since(t1, t1)
    # Nor is it written on: a scene that is saved would tell of a channel that the result does not have.
    assert t1.GetAttribute(f"{PREFIX}{CHANNELS}") is None


def test_a_record_of_two_channels_is_saved_with_the_scene(volumes, tmp_path):
    add_result(volumes[0], found(), noted(volumes))
    path = str(tmp_path / "scene.mrb")
    slicer.mrmlScene.SetRootDirectory(str(tmp_path))
    assert slicer.mrmlScene.WriteToMRB(path)
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(path)
    t1, flair = slicer.util.getNode("T1"), slicer.util.getNode("FLAIR")
    assert not changed_since(t1, t1)
    change(flair)
    assert changed_since(t1, t1)


def test_a_batch_refuses_a_task_of_several_channels_in_words(model):
    with pytest.raises(UsageError, match=r"this one takes 2 volumes \(T1, FLAIR\). Segment these images one by one"):
        SceneBatch([samples.volume()], BatchOptions(model=model))
    require_single([PAIR, SINGLE])
    with pytest.raises(UsageError):
        require_single([PAIR, SINGLE], PAIR.name)


def test_a_check_refuses_a_model_of_several_channels_in_words(stand_ins, model, monkeypatch):
    from Testing.slicer.stand_ins.panel import load_module

    load_module("OODCheck")
    from OODCheckLib import check

    monkeypatch.setattr(check, "require_installed", lambda: None)
    monkeypatch.setattr(check, "shared_runner", lambda: types.SimpleNamespace())
    with pytest.raises(InputError, match="takes 2 volumes"):
        check.start_check(samples.volume(), model, "auto", False)
    with pytest.raises(UsageError, match="takes 2 volumes"):
        check.start_batch([], model, "auto", False)
