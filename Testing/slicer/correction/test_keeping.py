"""Corrected results of the scene become cases that the trainer accepts, wherever image and segmentation lie."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
import SimpleITK as sitk

from MultiTaskSegLib.correction.corrected_segment import mark_corrections
from MultiTaskSegLib.correction.keeping import add_to_dataset, case_in
from MultiTaskSegLib.correction.scene_case import case_of
from MultiTaskSegLib.dataset.groups_file import read_groups
from MultiTaskSegLib.runtime.errors import DatasetError, InputError, UsageError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.scene import result
from MultiTaskSegLib.scene.image_record import ImageRecord
from MultiTaskSegLib.scene.volume import image_from_node
from Testing.slicer import scene_samples as samples
from Testing.slicer.correction.test_corrected_segment import paint
from Testing.slicer.scene.test_result_table import found
from trainer.verification.verify import run_verify

pytestmark = pytest.mark.usefixtures("session", "own_models")
T1 = ("T1",)


@pytest.fixture
def own_models(tmp_path, monkeypatch):
    """An empty folder of models, with the key for names of patients."""
    monkeypatch.setenv("MULTITASKSEG_MODELS", str(tmp_path / "models"))


def seen(kind: str = "axial", name: str = "Scan"):
    """A result on an image that is no other's."""
    volume = samples.volume(kind, name)
    slicer.util.arrayFromVolume(volume)[0, 0, 0] = len(name)
    slicer.util.arrayFromVolumeModified(volume)
    return volume, result.add_result(volume, found())


@pytest.mark.parametrize("kind", ["axial", "oblique", "flipped", "left-handed", "sagittal"])
@pytest.mark.parametrize("is_moved", [False, True])
def test_the_case_has_the_voxels_and_the_place_of_the_image(tmp_path, kind, is_moved):
    volume, made = seen(kind)
    paint(made, "anterior", (0, 0, 0), (8, 11, 14))
    paint(made, "posterior", (8, 11, 13))
    if is_moved:
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = samples.rotation(1, 33), (5, -40, 12)
        moved = samples.linear_transform(volume, matrix)
        made.segmentation.SetAndObserveTransformNodeID(moved.GetID())
    added = add_to_dataset(made.segmentation, tmp_path / "Dataset7_Brain", T1)
    labels = samples.labels()
    labels[0, 0, 0] = labels[8, 11, 14] = 1
    labels[8, 11, 13] = 2
    stored = sitk.ReadImage(str(added.folder / "imagesTr/Scan_0000.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(stored), slicer.util.arrayFromVolume(volume))
    drawn = sitk.ReadImage(str(added.folder / "labelsTr/Scan.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(drawn), labels)
    wanted = image_from_node(volume)
    for image in (stored, drawn):
        origin, spacing = np.array(image.GetOrigin()), np.array(image.GetSpacing())
        axes = np.reshape(image.GetDirection(), (3, 3)) * spacing
        np.testing.assert_allclose(axes, wanted.ijk_to_lps[:3, :3], atol=1e-12)
        np.testing.assert_allclose(origin, wanted.ijk_to_lps[:3, 3], atol=1e-12)
    lines: list[str] = []
    assert run_verify([added.folder], lines.append) == 0, lines
    assert case_in(made.segmentation, added.folder) == "Scan"


def test_all_corrected_results_that_are_not_there_yet_go_in_together(tmp_path):
    results = [seen(name=name)[1] for name in ("one", "second", "third scan")]
    folder = tmp_path / "d"
    with pytest.raises(UsageError, match="no result of the scene was corrected"):
        add_to_dataset(None, folder, T1)
    for made in results[:2]:
        paint(made, "anterior", (0, 0, 0))
    assert add_to_dataset(None, folder, T1).cases == ("one", "second")
    paint(results[2], "anterior", (0, 0, 0))
    assert add_to_dataset(None, folder, T1).cases == ("third_scan",)
    with pytest.raises(UsageError, match="not in this dataset yet"):
        add_to_dataset(None, folder, T1)
    with pytest.raises(DatasetError, match="already, as the case one"):
        add_to_dataset(results[0].segmentation, folder, T1)
    (folder / "labelsTr/second.nrrd").unlink()
    (folder / "imagesTr/second_0000.nrrd").unlink()
    assert add_to_dataset(None, folder, T1).cases == ("second",)


def test_a_result_whose_image_is_there_is_left_out_and_told_and_the_others_go_in(tmp_path):
    results = {name: seen(name=name)[1] for name in ("one", "second", "third scan")}
    add_to_dataset(results["one"].segmentation, tmp_path / "d", T1)
    results["one"].segmentation.RemoveAttribute("MultiTaskSeg.Dataset.Cases")  # as of a scene from before
    for made in results.values():
        paint(made, "anterior", (0, 0, 0))
    added = add_to_dataset(None, tmp_path / "d", T1)
    assert added.cases == ("second", "third_scan")
    assert ["as the case one" in reason for reason in added.left_out.values()] == [True]
    kept = {name: case_in(made.segmentation, tmp_path / "d") for name, made in results.items()}
    assert kept == {"one": None, "second": "second", "third scan": "third_scan"}


def test_one_that_cannot_be_used_keeps_all_of_them_out(tmp_path):
    fine, spoilt = seen(name="fine")[1], seen(name="spoilt")[1]
    for made in (fine, spoilt):
        paint(made, "anterior", (0, 0, 0))
    spoilt.segmentation.GetSegmentation().AddEmptySegment("new", "hand drawn")
    add_to_dataset(seen(name="first")[1].segmentation, tmp_path / "d", T1)
    with pytest.raises(DatasetError, match="no label for hand drawn"):
        add_to_dataset(None, tmp_path / "d", T1)
    assert len(list((tmp_path / "d/imagesTr").iterdir())) == 1
    assert case_in(fine.segmentation, tmp_path / "d") is None


def test_a_renamed_segment_has_its_new_name_and_a_hand_drawn_segmentation_can_be_added(tmp_path):
    volume, made = seen()
    made.segmentation.GetSegmentation().GetSegment("anterior").SetName("Lesion")
    assert [one.name for one in case_of(made.segmentation).structures] == ["Lesion", "posterior"]
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    drawn.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment_id = drawn.GetSegmentation().AddEmptySegment("", "tumour")
    slicer.util.updateSegmentBinaryLabelmapFromArray(samples.labels(), drawn, segment_id, volume)
    added = add_to_dataset(drawn, tmp_path / "d", T1)
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(added.folder / "labelsTr/Scan.nrrd")))
    np.testing.assert_array_equal(stored, samples.labels() > 0)


def test_patients_of_dicom_are_kept_together_under_names_that_tell_nothing(tmp_path):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "DOE^JANE")
    study = hierarchy.CreateStudyItem(patient, "study")
    hierarchy.SetItemAttribute(patient, constants.GetDICOMPatientIDAttributeName(), "ID-4711")
    results = []
    for name in ("first", "second"):
        volume, made = seen(name=name)
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
        results.append(made.segmentation)
    results.append(seen(name="another")[1].segmentation)
    folder = add_to_dataset(results, tmp_path / "d", T1).folder
    groups = read_groups(folder)
    assert groups["first"] == groups["second"] != groups["another"] == "another"
    assert not any("4711" in path.read_text(errors="ignore") for path in folder.glob("*.*"))


def test_the_channels_of_an_image_are_written_in_their_order(tmp_path):
    first, second = samples.volume(name="t1"), samples.volume(name="flair")
    slicer.util.arrayFromVolume(second)[:] = 7 + np.arange(9 * 12 * 15).reshape(9, 12, 15)[::-1]
    slicer.util.arrayFromVolumeModified(second)
    notes = result.RunNotes(record=ImageRecord.of(first, [second]), further=(second,))
    made = result.add_result(first, found(), notes)
    folder = add_to_dataset(made.segmentation, tmp_path / "d", ("T1", "FLAIR")).folder
    for number, node in enumerate((first, second)):
        stored = sitk.ReadImage(str(folder / f"imagesTr/t1_{number:04d}.nrrd"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(stored), slicer.util.arrayFromVolume(node))
    samples.linear_transform(second, np.diag([1.0, 1.0, 1.0, 1.0]) + np.eye(4, k=3) * 5)
    with pytest.raises(InputError, match="not on one grid"):
        case_of(made.segmentation)
    slicer.mrmlScene.RemoveNode(second)
    with pytest.raises(InputError, match="channel 2"):
        case_of(made.segmentation)


def spoil_voxels(volume, _segmentation):
    slicer.util.arrayFromVolume(volume)[1, 1, 1] += 1
    slicer.util.arrayFromVolumeModified(volume)


def move_apart(volume, _segmentation):
    samples.linear_transform(volume, np.diag([1.0, 1.0, 1.0, 1.0]) + np.eye(4, k=3) * 5)


def shear(volume, segmentation):
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    moved = samples.linear_transform(volume, sheared)
    segmentation.SetAndObserveTransformNodeID(moved.GetID())
    ImageRecord.of(volume).write(segmentation)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_voxels, "changed after"),
        (move_apart, "different transforms"),
        (shear, "right angles"),
        (lambda volume, _: slicer.mrmlScene.RemoveNode(volume), "not in the scene"),
    ],
)
def test_an_image_that_no_longer_fits_is_refused_in_words(tmp_path, spoil, words):
    volume, made = seen()
    spoil(volume, made.segmentation)
    with pytest.raises(InputError, match=words):
        add_to_dataset(made.segmentation, tmp_path / "d", T1)
    assert not (tmp_path / "d").exists()


def test_voxels_that_are_not_finite_are_refused():
    voxels = np.zeros((4, 5, 6), np.float32)
    voxels[1, 1, 1] = np.nan
    volume = slicer.util.addVolumeFromArray(voxels, name="nan")
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    drawn.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    with pytest.raises(InputError, match="NaN"):
        case_of(drawn)


def test_a_written_image_reads_back_as_the_one_that_was_segmented(tmp_path):
    volume, made = seen("oblique")
    folder = add_to_dataset(made.segmentation, tmp_path / "d", T1).folder
    again, wanted = read_image(folder / "imagesTr/Scan_0000.nrrd"), image_from_node(volume)
    np.testing.assert_array_equal(again.voxels, wanted.voxels)
    np.testing.assert_allclose(again.ijk_to_lps, wanted.ijk_to_lps, atol=1e-9)


@pytest.mark.parametrize("name", ["Dataset101_HippocampusT1", "Dataset106_LVCineSunnybrook"])
def test_a_real_case_goes_into_its_own_dataset_and_stays_what_it_was(shared_data, tmp_path, name):
    """Read by Slicer, labelled as in the dataset, and written beside a case that was there."""
    source, folder = shared_data / name, tmp_path / name
    images = sorted((source / "imagesTr").glob("*_0000.nii.gz"))[:2]
    cases = [path.name.removesuffix("_0000.nii.gz") for path in images]
    for part, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        (folder / part).mkdir(parents=True)
        shutil.copy(source / part / f"{cases[0]}{ending}", folder / part)
    shutil.copy(source / "dataset.json", folder)
    volume = slicer.modules.volumes.logic().AddArchetypeVolume(str(images[1]), "new case", 0)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(source / "labelsTr" / f"{cases[1]}.nii.gz")))
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    drawn.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    names = json.loads((source / "dataset.json").read_text())["labels"]
    for label, value in names.items():
        if value:
            segment_id = drawn.GetSegmentation().AddEmptySegment("", label.replace("_", " ").title())
            mask = (labels == value).astype(np.uint8)
            slicer.util.updateSegmentBinaryLabelmapFromArray(mask, drawn, segment_id, volume)
    assert add_to_dataset(drawn, folder).cases == ("new_case",)
    for part, ending, original in (
        ("imagesTr", "_0000.nii.gz", images[1]),
        ("labelsTr", ".nii.gz", source / "labelsTr" / f"{cases[1]}.nii.gz"),
    ):
        stored, wanted = (sitk.ReadImage(str(p)) for p in (folder / part / f"new_case{ending}", original))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(stored), sitk.GetArrayFromImage(wanted))
        np.testing.assert_allclose(stored.GetOrigin(), wanted.GetOrigin(), atol=1e-4)
        np.testing.assert_allclose(stored.GetDirection(), wanted.GetDirection(), atol=1e-6)
    lines: list[str] = []
    assert run_verify([folder], lines.append) == 0, lines


@pytest.mark.parametrize("move", ["centred", "hardened", "origin by whole voxels"])
def test_an_image_that_was_moved_off_its_segments_is_refused_and_nothing_is_called_corrected(tmp_path, move):
    volume, made = seen()
    if move == "centred":
        volume.SetOrigin(3.0, 4.0, 5.0)
    elif move == "hardened":
        matrix = np.eye(4)
        matrix[:3, 3] = (5, -4, 2)
        samples.linear_transform(volume, matrix)
        volume.HardenTransform()
    else:
        volume.SetOrigin(volume.GetOrigin()[0] + 2 * 0.8, *volume.GetOrigin()[1:])
    assert mark_corrections(made.segmentation) == []
    with pytest.raises(InputError, match="was moved after it was segmented"):
        add_to_dataset(made.segmentation, tmp_path / "d", T1)
    assert not (tmp_path / "d").exists()


def test_image_and_segments_that_were_moved_together_for_good_are_one_case(tmp_path):
    volume, made = seen("oblique")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = samples.rotation(1, 33), (5, -40, 12)
    moved = samples.linear_transform(volume, matrix)
    made.segmentation.SetAndObserveTransformNodeID(moved.GetID())
    for node in (volume, made.segmentation):
        node.HardenTransform()
    assert mark_corrections(made.segmentation) == []
    added = add_to_dataset(made.segmentation, tmp_path / "d", T1)
    drawn = sitk.GetArrayFromImage(sitk.ReadImage(str(added.folder / "labelsTr/Scan.nrrd")))
    np.testing.assert_array_equal(drawn, samples.labels())
