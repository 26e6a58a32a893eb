"""A result belongs to the image that the run was started with, and to no other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene import attributes, result
from MultiTaskSegLib.scene.image_record import ImageRecord, changed_since, voxel_fingerprint
from MultiTaskSegLib.scene.mended_copy import hardened_copy
from MultiTaskSegLib.scene.result_record import clear_record, current_verdict, has_outdated_verdict, write_record
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_batch import cine
from Testing.slicer.scene.test_result_table import FOREIGN, GOOD, found

pytestmark = pytest.mark.usefixtures("session")
REPORT = {"ood": GOOD.as_dict(), "model": {"name": "A", "sha256": "aa"}, "task": "t", "warnings": ["w"], "labels": []}


def change_one_voxel(volume) -> None:
    voxels = slicer.util.arrayFromVolume(volume)
    voxels[0, 0, 0] += 1
    slicer.util.arrayFromVolumeModified(volume)


def browsed():
    """A sequence with the browser and the volume that show its first frame."""
    sequence, logic = cine(), slicer.modules.sequences.logic()
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    logic.UpdateProxyNodesFromSequences(browser)
    return browser, browser.GetProxyNode(sequence)


def move_to(browser, frame: int) -> None:
    browser.SetSelectedItemNumber(frame)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)


def test_a_record_cannot_be_changed():
    record = ImageRecord.of(samples.volume())
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.voxels = ""


def test_an_image_that_nobody_touched_is_accepted():
    volume = samples.volume("oblique")
    ImageRecord.of(volume).require_unchanged(volume)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_one_voxel, "the voxels were changed during the run"),
        (lambda volume: samples.linear_transform(volume, np.diag([0.5, 0.5, 0.5, 1.0])), "transform was changed"),
        (lambda volume: volume.SetOrigin(1.0, 2.0, 3.0), "was moved"),
        (samples.warp_transform, "non-linear transform"),
    ],
)
def test_an_image_that_was_changed_meanwhile_is_refused_in_words(change, words):
    volume = samples.volume()
    record = ImageRecord.of(volume)
    change(volume)
    with pytest.raises(InputError, match=words):
        record.require_unchanged(volume)


def test_voxels_that_are_again_what_they_were_are_accepted():
    volume = samples.volume()
    record = ImageRecord.of(volume)
    change_one_voxel(volume)
    slicer.util.arrayFromVolume(volume)[0, 0, 0] -= 1
    slicer.util.arrayFromVolumeModified(volume)
    record.require_unchanged(volume)


def test_the_result_of_one_frame_is_not_put_onto_another_one():
    browser, shown = browsed()
    record = ImageRecord.of(shown)
    assert record.frame == "time=0ms"
    move_to(browser, 2)
    with pytest.raises(InputError, match=r"shows time=20ms now.*started with time=0ms"):
        record.require_unchanged(shown)
    move_to(browser, 0)
    record.require_unchanged(shown)


def test_a_result_that_is_refused_leaves_nothing():
    volume = samples.volume()
    notes = result.RunNotes(record=ImageRecord.of(volume))
    change_one_voxel(volume)
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(InputError, match="nothing was added"):
        result.add_result(volume, found(), notes)
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert attributes.read_verdict(volume) is None


def test_results_of_a_frame_tell_the_frame_in_their_names_and_attributes():
    _browser, shown = browsed()
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 1, 1:3] = 1
    made = result.add_result(shown, dataclasses.replace(found(), labels=labels, uncertainty=labels.astype(np.float32)))
    assert [node.GetName() for node in made.nodes] == [
        "cine [time=0ms] segmentation (hippocampus)",
        "cine [time=0ms] uncertainty (hippocampus)",
        "cine [time=0ms] segments (hippocampus)",
    ]
    assert made.table.GetAttribute("MultiTaskSeg.Frame") == "time=0ms"


def test_the_fingerprint_survives_saving_and_tells_every_voxel(session, tmp_path):
    volume = samples.volume("oblique")
    before = voxel_fingerprint(volume)
    write_record(volume, ImageRecord.of(volume), REPORT)
    bundle = str(tmp_path / "scene.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    session.scene.Clear(0)
    assert session.scene.ReadFromMRB(bundle)
    volume = session.scene.GetFirstNode("Scan", "vtkMRMLScalarVolumeNode")
    assert voxel_fingerprint(volume) == before
    assert current_verdict(volume) == GOOD
    change_one_voxel(volume)
    assert voxel_fingerprint(volume) != before
    assert current_verdict(volume) is None
    assert has_outdated_verdict(volume)


def test_arrays_of_the_same_bytes_but_another_shape_or_type_are_told_apart():
    add = slicer.util.addVolumeFromArray
    kinds = [add(np.zeros(shape, kind)) for shape, kind in (((2, 3, 4), "i2"), ((4, 3, 2), "i2"), ((2, 3, 4), "u2"))]
    assert len({voxel_fingerprint(node) for node in kinds}) == 3


def test_a_clone_has_the_verdict_until_its_voxels_are_others():
    volume = samples.volume()
    write_record(volume, ImageRecord.of(volume), REPORT)
    clone = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, volume, "Clone")
    assert current_verdict(clone) == GOOD
    slicer.util.updateVolumeFromArray(clone, np.zeros_like(slicer.util.arrayFromVolume(volume)))
    assert current_verdict(clone) is None
    assert current_verdict(volume) == GOOD


def test_moving_an_image_leaves_its_verdict_and_stretching_it_does_not():
    volume = samples.volume()
    write_record(volume, ImageRecord.of(volume), REPORT)
    moved = np.eye(4)
    moved[:3, 3] = 7.0
    transform = samples.linear_transform(volume, moved)
    assert not changed_since(volume, volume)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([2.0, 1.0, 1.0, 1.0])))
    assert changed_since(volume, volume)
    samples.warp_transform(transform)
    assert changed_since(volume, volume)


def test_a_verdict_without_a_record_of_its_image_is_not_relied_upon():
    volume = samples.volume()
    attributes.write_verdict(volume, GOOD)
    assert current_verdict(volume) is None
    assert current_verdict(None) is None
    assert not has_outdated_verdict(samples.volume(name="never checked"))


def test_no_part_of_an_earlier_run_stays_beside_a_later_one():
    volume = samples.volume()
    elected = {**REPORT, "device": "cuda", "model": {"name": "own", "choice": {"sentence": "own was chosen"}}}
    write_record(volume, ImageRecord.of(volume), elected, {"device": "cuda"})
    assert volume.GetAttribute("MultiTaskSeg.Model.Choice") == "own was chosen"
    volume.SetAttribute("MultiTaskSeg.OOD.Spectrum", "{}")
    made = result.add_result(volume, found(FOREIGN))
    told = {key: volume.GetAttribute(f"MultiTaskSeg.{key}") for key in ("OOD", "Model", "Model.SHA256", "Device")}
    assert told == {"OOD": "out of distribution", "Model": "mr3d", "Model.SHA256": "ab" * 32, "Device": None}
    assert volume.GetAttribute("MultiTaskSeg.OOD.Spectrum") is None
    assert volume.GetAttribute("MultiTaskSeg.Parameters") is None
    assert volume.GetAttribute("MultiTaskSeg.Model.Choice") is None
    assert current_verdict(volume) == made.ood


def test_taking_a_record_off_leaves_what_others_wrote():
    volume = samples.volume()
    volume.SetAttribute("Mine", "1")
    write_record(volume, ImageRecord.of(volume), REPORT)
    clear_record(volume)
    assert list(volume.GetAttributeNames()) == ["Mine"]


def test_a_hardened_copy_carries_no_verdict_on_other_voxels():
    volume = samples.volume()
    write_record(volume, ImageRecord.of(volume), REPORT)
    samples.warp_transform(volume)
    assert attributes.read_verdict(hardened_copy(volume)) is None


def test_the_verdict_comes_back_exactly():
    volume = samples.volume()
    verdict = Verdict(True, 3.25, 1.5, 0.01, "a", {"a": 3.25, "b": 9.0}, rivals=("b",))
    write_record(volume, ImageRecord.of(volume), {"ood": verdict.as_dict()})
    assert current_verdict(volume) == verdict
