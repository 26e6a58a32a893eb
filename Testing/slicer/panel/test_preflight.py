"""What is said about a volume before it is segmented, and the copies in which something is put right."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.model.released import named_model
from MultiTaskSegLib.scene import mended_copy
from MultiTaskSegLib.scene.volume import image_from_node, world_ijk_to_ras
from MultiTaskSegLib.scene.volume_sequence import sequence_of
from MultiTaskSegLib.task_list import KnownTask, known_tasks
from Testing.slicer import scene_samples as samples

HEAD = KnownTask("Dataset101_HippocampusT1", "T1", "head", False, (1.0, 1.0, 1.0))
HEART = KnownTask("heart", "cine-MRI", "chest", False, (8.0, 1.25, 1.25))
CHEST = KnownTask("lung", "X-ray", "chest", True)
SHAPE = (20, 24, 28)
pytestmark = pytest.mark.usefixtures("stand_ins", "session")


@pytest.fixture
def preflight():
    return importlib.import_module("MultiTaskSegLib.panel.preflight")


def scan(shape=SHAPE, spacing=(1.0, 1.0, 1.0), dtype=np.float32):
    """A volume with noise and a spacing ``(x, y, z)`` in millimetres."""
    voxels = np.random.default_rng(5).integers(0, 200, shape).astype(dtype)
    return slicer.util.addVolumeFromArray(voxels, ijkToRAS=np.diag([*spacing, 1.0]), name="Scan")


def only(findings):
    assert len(findings) == 1
    return findings[0]


def test_nothing_is_said_about_a_volume_like_the_training_images(preflight):
    assert preflight.inspect(scan(), [HEAD, HEART, CHEST]) == []
    assert preflight.inspect(scan((1, 60, 60)), [HEAD, CHEST]) == []
    assert preflight.inspect(scan(), []) == []


def test_a_label_map_and_an_empty_volume_are_refused(preflight):
    label = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Label")
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    for node, word in ((label, "label map"), (empty, "empty"), (None, "no volume")):
        finding = only(preflight.inspect(node))
        assert finding.is_refusal
        assert word in finding.text
        assert finding.fix == ""


def test_a_non_linear_transform_is_refused_with_a_fix_that_helps(preflight):
    node = scan()
    samples.warp_transform(node)
    finding = only(preflight.inspect(node))
    assert (finding.is_refusal, finding.fix) == (True, preflight.HARDEN)
    copy = mended_copy.hardened_copy(node)
    assert copy.GetParentTransformNode() is None
    assert node.GetParentTransformNode() is not None
    assert preflight.inspect(copy) == []


def test_a_linear_transform_is_no_reason_to_complain(preflight):
    node = scan()
    samples.linear_transform(node, np.diag([1.0, -1.0, 1.0, 1.0]))
    assert preflight.inspect(node, [HEAD]) == []


def test_a_hardened_copy_shows_the_same_image_at_the_same_place():
    node = samples.volume("oblique")
    matrix = np.eye(4)
    matrix[:3, 3] = [4.0, -3.0, 2.0]
    samples.linear_transform(node, matrix)
    copy = mended_copy.hardened_copy(node)
    np.testing.assert_allclose(world_ijk_to_ras(copy), world_ijk_to_ras(node), atol=1e-9)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(copy), slicer.util.arrayFromVolume(node))


def test_a_few_nan_are_mended_with_a_note_and_many_are_refused_with_a_fix(preflight):
    few, many = scan(), scan()
    slicer.util.arrayFromVolume(few)[0, 0, :3] = [np.nan, np.inf, -np.inf]
    slicer.util.arrayFromVolume(many)[:5] = np.nan
    note = only(preflight.inspect(few))
    assert not note.is_refusal
    assert "smallest finite value" in note.text
    image = image_from_node(few)
    assert image.voxels[0, 0, 0] == np.nanmin(slicer.util.arrayFromVolume(few)[1:])
    assert "3 NaN or infinite voxels" in image.warnings[0]
    refusal = only(preflight.inspect(many))
    assert (refusal.is_refusal, refusal.fix) == (True, preflight.FILL)
    assert refusal.text.startswith("25 %")
    with pytest.raises(InputError, match="25 %"):
        image_from_node(many)
    copy = mended_copy.finite_copy(many)
    assert preflight.inspect(copy) == []
    assert np.isnan(slicer.util.arrayFromVolume(many)).any()


@pytest.mark.parametrize(("name", "measured"), [("a.PNG", "nothing"), ("a.jpeg", "nothing"), ("a.nrrd", "voxel")])
def test_a_volume_that_was_loaded_from_a_picture_has_no_physical_size(name, measured):
    node = scan()
    assert image_from_node(node).measured == "voxel"
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(f"/somewhere/{name}")
    assert image_from_node(node).measured == measured
    slicer.util.arrayFromVolume(node)[0, 0, 0] = np.nan
    assert image_from_node(node).measured == measured


@pytest.mark.parametrize(("name", "is_cleaned"), [("a.JPG", True), ("a.jpeg", True), ("a.png", False)])
def test_ripples_around_a_jpeg_are_air_as_without_slicer(name, is_cleaned):
    node = scan()
    voxels = slicer.util.arrayFromVolume(node)
    voxels[:] = 0
    voxels[:, 6:, 3:] = 200
    voxels[:, 6:, 1:3] = 2  # faint, in the block in which the content ends
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(f"/somewhere/{name}")
    assert (image_from_node(node).voxels[:, :, 1:3].max() == 0) == is_cleaned
    assert voxels[:, 6:, 1:3].min() == 2  # the node keeps what it has


@pytest.mark.parametrize("kind", ["colour", "NaN", "transform"])
def test_the_mended_copy_of_a_picture_has_no_physical_size_either(kind):
    if kind == "colour":
        colours = np.zeros((1, 30, 40, 3), np.uint8)
        node = slicer.util.addVolumeFromArray(colours, name="Picture", nodeClassName="vtkMRMLVectorVolumeNode")
    else:
        node = scan()
    mend = {"colour": mended_copy.grey_copy, "NaN": mended_copy.finite_copy, "transform": mended_copy.hardened_copy}
    assert image_from_node(mend[kind](node)).measured == "voxel"
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName("/somewhere/a.png")
    copy = mend[kind](node)
    assert copy.GetStorageNode() is None
    assert image_from_node(copy).measured == "nothing"


def test_nothing_but_nan_is_refused_without_a_fix(preflight):
    node = scan()
    slicer.util.arrayFromVolume(node)[:] = np.nan
    assert only(preflight.inspect(node)).fix == ""
    with pytest.raises(InputError, match="no voxel is finite"):
        mended_copy.finite_copy(node)


def test_a_constant_volume_is_refused(preflight):
    node = scan()
    slicer.util.updateVolumeFromArray(node, np.full(SHAPE, 7.0, np.float32))
    assert "same value" in only(preflight.inspect(node)).text


@pytest.mark.parametrize("channels", [3, 4])
def test_a_colour_picture_is_refused_and_a_grey_copy_helps(preflight, channels):
    colours = np.zeros((1, 30, 40, channels), np.uint8)
    colours[0, :, :20, 0] = 200  # red
    colours[0, :, 20:, 1] = 100  # green
    node = slicer.util.addVolumeFromArray(colours, name="Picture", nodeClassName="vtkMRMLVectorVolumeNode")
    finding = only(preflight.inspect(node))
    assert (finding.is_refusal, finding.fix) == (True, preflight.GREY)
    grey = mended_copy.grey_copy(node)
    np.testing.assert_allclose(slicer.util.arrayFromVolume(grey)[0, 0, [0, -1]], [0.299 * 200, 0.587 * 100], rtol=1e-5)
    assert preflight.inspect(grey, [CHEST]) == []


def test_a_vector_field_has_no_grey_copy():
    field = np.zeros((2, 3, 4, 2), np.float32)
    node = slicer.util.addVolumeFromArray(field, name="Field", nodeClassName="vtkMRMLVectorVolumeNode")
    with pytest.raises(InputError, match="no colour picture"):
        mended_copy.grey_copy(node)


@pytest.mark.parametrize(
    ("shape", "tasks", "word"), [((1, 60, 60), [HEAD, HEART], "2-D"), (SHAPE, [CHEST], "The image is 3-D")]
)
def test_an_image_of_the_wrong_dimension_is_refused(preflight, shape, tasks, word):
    finding = only(preflight.inspect(scan(shape), tasks))
    assert finding.is_refusal
    assert word in finding.text


def test_the_chosen_task_counts_and_not_the_others(preflight):
    assert preflight.inspect(scan((1, 60, 60)), [HEAD, CHEST], "lung") == []
    assert only(preflight.inspect(scan((1, 60, 60)), [HEAD, CHEST], HEAD.name)).is_refusal


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        ((1.0, 1.0, 1.9), ""),
        ((1.0, 1.0, 3.0), "3.0 times coarser than those of HippocampusT1 (T1, head)"),
        ((0.1, 0.1, 0.1), "10 times finer than those of HippocampusT1"),
    ],
)
def test_voxels_far_from_those_of_the_task_are_noted_with_the_factor(preflight, spacing, words):
    findings = preflight.inspect(scan((40, 40, 40), spacing), [HEAD])
    assert (only(findings).text if findings else "").count(words) or not words
    assert bool(findings) == bool(words)


@pytest.mark.parametrize(("spacing", "is_told"), [((0.43, 0.43, 5.0), False), ((0.1, 0.1, 0.5), True)])
def test_fine_voxels_are_compared_with_the_training_images_where_the_grid_is_coarser(preflight, spacing, is_told):
    (brain,) = known_tasks(named_model("head_brain"))
    assert (brain.spacing_zyx_mm, brain.finest_mm) == ((4.0, 4.0, 4.0), 1.5)
    assert bool(preflight.inspect(scan((40, 40, 40), spacing), [brain])) == is_told
    assert preflight.inspect(scan((40, 40, 40), spacing), [replace(brain, finest_mm=None)])


def test_the_task_with_the_nearest_voxel_size_counts_whatever_the_order_of_the_axes(preflight):
    assert preflight.inspect(scan((30, 30, 10), (8.0, 1.25, 1.25)), [HEAD, HEART]) == []


@pytest.mark.parametrize(("spacing", "shown"), [((120.0, 1.0, 1.0), "3.36e+03"), ((0.01, 0.01, 0.01), "0.28")])
def test_an_implausible_field_of_view_is_noted(preflight, spacing, shown):
    assert shown in only(preflight.inspect(scan(spacing=spacing))).text


def test_a_handful_of_slices_is_noted(preflight):
    assert "only 2 slices" in only(preflight.inspect(scan((2, 40, 40)))).text


def test_a_frame_of_a_sequence_is_noted_with_its_number(preflight):
    for node_class in (slicer.vtkMRMLSequenceNode, slicer.vtkMRMLSequenceBrowserNode):
        slicer.mrmlScene.RegisterNodeClass(node_class())  # as Slicer's Sequences module does
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Cine")
    for number in range(3):
        frame = scan()
        sequence.SetDataNodeAtValue(frame, str(number))
        slicer.mrmlScene.RemoveNode(frame)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Cine browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetSelectedItemNumber(1)
    proxy = scan()
    browser.AddProxyNode(proxy, sequence, False)
    assert "frame 2 of 3 of the sequence Cine browser" in only(preflight.inspect(proxy)).text
    assert sequence_of(proxy) is sequence
    assert preflight.inspect(scan()) == []
    assert sequence_of(scan()) is None


@pytest.mark.parametrize(("modality", "is_told"), [("MR", False), ("CT", True), ("", False)])
def test_another_modality_than_that_of_the_tasks_is_noted(preflight, session, modality, is_told):
    node = scan()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(session.scene)
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    if modality:
        hierarchy.SetItemAttribute(item, "DICOM.Modality", modality)
    findings = preflight.inspect(node, [HEAD, CHEST])
    assert bool(findings) == is_told
    if is_told:
        assert "CT according to DICOM; the training images were MR" in only(findings).text


def test_the_modality_of_every_released_task_is_understood(preflight):
    tasks = known_tasks()
    assert len(tasks) >= 10
    assert [task.modality for task in tasks if not preflight.dicom_codes(task.modality)] == []


def test_refusals_come_first(preflight):
    node = scan((2, 40, 40))
    slicer.util.arrayFromVolume(node)[:, :20] = np.nan
    findings = preflight.inspect(node, [CHEST])
    assert [finding.is_refusal for finding in findings] == sorted([f.is_refusal for f in findings], reverse=True)
    assert len(findings) >= 2


def test_a_title_leaves_out_the_number_of_the_dataset():
    assert HEAD.title == "HippocampusT1 (T1, head)"
    assert KnownTask("heart").title == "heart"


@pytest.mark.parametrize(
    ("shape", "spacing", "is_told"),
    [
        ((40, 40, 40), (1.0, 1.0, 1.99), False),
        ((40, 40, 40), (1.0, 1.0, 2.01), True),
        ((40, 40, 40), (0.126, 1.0, 1.0), False),  # an eighth is 0.125
        ((40, 40, 40), (0.124, 1.0, 1.0), True),
        ((4, 40, 40), (1.0, 1.0, 1.0), False),
        ((3, 40, 40), (1.0, 1.0, 1.0), True),
    ],
)
def test_where_it_begins_to_be_told_that_voxels_are_unlike_those_of_the_task(preflight, shape, spacing, is_told):
    assert bool(preflight.inspect(scan(shape, spacing), [HEAD])) == is_told


@pytest.mark.parametrize(("size_mm", "is_told"), [(0.049, True), (0.051, False), (49.0, False), (51.0, True)])
def test_an_image_smaller_than_2_mm_or_larger_than_2_m_is_told(preflight, size_mm, is_told):
    assert bool(preflight.inspect(scan((40, 40, 40), (size_mm,) * 3))) == is_told


def test_a_task_of_unknown_modality_may_be_of_any(preflight, session):
    node = scan()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(session.scene)
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "CT")
    assert preflight.inspect(node, [HEAD, KnownTask("anything", "thermography")]) == []


@pytest.mark.parametrize("mend", [mended_copy.finite_copy, mended_copy.hardened_copy])
def test_a_mended_copy_lies_where_its_volume_lies(mend):
    node = samples.volume("oblique")
    slicer.util.updateVolumeFromArray(node, slicer.util.arrayFromVolume(node).astype(np.float32))
    matrix = np.diag([1.0, -1.0, 1.0, 1.0])
    matrix[:3, 3] = [4.0, -3.0, 2.0]
    samples.linear_transform(node, matrix)
    copy = mend(node)
    corners = [[0, 0, 0, 1], [14, 11, 8, 1]]
    lies, expected = ([world_ijk_to_ras(one) @ corner for corner in corners] for one in (copy, node))
    np.testing.assert_allclose(lies, expected, atol=1e-9)


def test_a_transform_that_changes_under_a_volume_is_looked_at_again(preflight):
    import types

    view = importlib.import_module("MultiTaskSegLib.panel.preflight_view")
    button = types.SimpleNamespace(connect=lambda _signal, _slot: None)
    seen: list[object] = []
    shown = view.PreflightView(types.SimpleNamespace(), button, print)
    node = scan()
    transform = samples.linear_transform(node, np.eye(4))
    for moved in (False, False, True):
        if moved:
            transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([2.0, 1.0, 1.0, 1.0])))
        shown.update(node, "auto", "", lambda *_choices: seen.append(1) or [])
    assert len(seen) == 2


def test_the_grey_copy_of_a_colour_jpeg_has_no_ripples_either():
    colours = np.zeros((1, 30, 40, 3), np.uint8)
    colours[:, 6:, 3:] = 200
    colours[:, 6:, 1:3] = 2  # faint, in the block in which the content ends
    node = slicer.util.addVolumeFromArray(colours, name="Picture", nodeClassName="vtkMRMLVectorVolumeNode")
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName("/somewhere/a.JPG")
    image = image_from_node(mended_copy.grey_copy(node))
    assert image.voxels[:, :, 1:3].max() == 0
    assert image.measured == "nothing"
