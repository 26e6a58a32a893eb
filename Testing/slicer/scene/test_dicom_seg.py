"""A result as DICOM SEG, out and back: the same voxels, names and codes, and who made each segment.

Written by dcmqi's itkimage2segimage, which Slicer's own export calls, and read by highdicom. Stand-in: of Slicer's
export only what it does between scene and program, which needs the application's DICOM database.
"""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed for this Python")
pydicom = pytest.importorskip("pydicom", reason="pydicom writes the DICOM files of these tests")
import SimpleITK as sitk
import vtk
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from MultiTaskSegLib import __version__
from MultiTaskSegLib.job import JobResult
from MultiTaskSegLib.runtime.model.released import released_model
from MultiTaskSegLib.scene import edited_segmentation, result
from MultiTaskSegLib.scene.algorithm_tag import LONGEST_NAME, NAME_TAG, TYPE_TAG, algorithm_name
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import found

pytestmark = pytest.mark.usefixtures("session")
PROGRAM = Path(sysconfig.get_path("scripts")) / "itkimage2segimage"
CODES = {"SegmentedPropertyCategoryCodeSequence": "Category", "SegmentedPropertyTypeCodeSequence": "Type"}


def write_series(volume_node: object, folder: Path) -> None:
    """The volume as the MR series that it could have been loaded from, one file per slice."""
    ijk_to_ras = slicer.util.arrayFromVTKMatrix(_matrix(volume_node))
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijk_to_ras
    spacing_mm = np.linalg.norm(to_lps[:3, :3], axis=0)
    uids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    for k, pixels in enumerate(slicer.util.arrayFromVolume(volume_node)):
        file = pydicom.Dataset()
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = MRImageStorage
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        for name, value in uids.items():
            setattr(file, name, value)
        file.PatientName, file.PatientID, file.Modality = "Phantom", "1", "MR"
        file.PatientBirthDate = file.PatientSex = file.StudyDate = file.StudyTime = ""
        file.StudyID, file.AccessionNumber, file.ReferringPhysicianName = "1", "", ""
        file.SeriesNumber, file.InstanceNumber = 1, k + 1
        file.ImagePositionPatient = [f"{v:.10g}" for v in to_lps[:3, 3] + k * to_lps[:3, 2]]
        directions = to_lps[:3, :2] / spacing_mm[:2]
        file.ImageOrientationPatient = [f"{v:.10g}" for v in directions.T.ravel()]
        file.PixelSpacing = [f"{spacing_mm[1]:.10g}", f"{spacing_mm[0]:.10g}"]
        file.SliceThickness = f"{spacing_mm[2]:.10g}"
        file.Rows, file.Columns = pixels.shape
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated = file.BitsStored = 16
        file.HighBit, file.PixelRepresentation = 15, 1
        file.PixelData = pixels.astype("<i2").tobytes()
        file.save_as(folder / f"{k:03d}.dcm", enforce_file_format=True)


def _matrix(volume_node: object) -> object:
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return matrix


def described(segment: object) -> dict:
    """What Slicer's export tells the program about a segment: read from its tags and terminology."""
    entry, logic = slicer.vtkSlicerTerminologyEntry(), slicer.vtkSlicerTerminologiesModuleLogic()
    logic.DeserializeTerminologyEntry(tag(segment, segment.GetTerminologyEntryTagName()), entry)
    codes = {"Category": entry.GetCategoryObject(), "Type": entry.GetTypeObject()}
    return {
        "labelID": 1,
        "SegmentLabel": segment.GetName(),
        "SegmentDescription": codes["Category"].GetCodeMeaning(),
        # Without the tag Slicer says MANUAL; with another one and no name it refuses.
        "SegmentAlgorithmType": tag(segment, TYPE_TAG) or "MANUAL",
        "SegmentAlgorithmName": tag(segment, NAME_TAG),
        "recommendedDisplayRGBValue": [round(255 * channel) for channel in segment.GetColor()],
        **{
            name: {
                "CodeValue": codes[kind].GetCodeValue(),
                "CodingSchemeDesignator": codes[kind].GetCodingSchemeDesignator(),
                "CodeMeaning": codes[kind].GetCodeMeaning(),
            }
            for name, kind in CODES.items()
        },
    }


def tag(segment: object, name: str) -> str:
    value = vtk.mutable("")
    return str(value) if segment.GetTag(name, value) else ""


def exported(volume_node: object, segmentation_node: object, folder: Path) -> object:
    """The segmentation as a DICOM SEG object, read by highdicom."""
    series = folder / "series"
    series.mkdir()
    write_series(volume_node, series)
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ slicer.util.arrayFromVTKMatrix(_matrix(volume_node))
    spacing_mm = np.linalg.norm(to_lps[:3, :3], axis=0)
    files, segments = [], segmentation_node.GetSegmentation()
    for segment_id in segments.GetSegmentIDs():
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume_node)
        image = sitk.GetImageFromArray(np.ascontiguousarray(mask > 0, dtype=np.uint8))
        image.SetSpacing(spacing_mm.tolist())
        image.SetOrigin(to_lps[:3, 3].tolist())
        image.SetDirection((to_lps[:3, :3] / spacing_mm).ravel().tolist())
        files.append(str(folder / f"{segment_id}.nrrd"))
        sitk.WriteImage(image, files[-1])
    meta = {"ContentCreatorName": "Slicer", "SeriesNumber": "101", "InstanceNumber": "1"}
    meta |= {"SeriesDescription": segmentation_node.GetName(), "ClinicalTrialSeriesID": "1"}
    meta |= {"ClinicalTrialTimePointID": "1", "ClinicalTrialCoordinatingCenterName": "none"}
    numbers = range(segments.GetNumberOfSegments())
    meta["segmentAttributes"] = [[described(segments.GetNthSegment(number))] for number in numbers]
    (folder / "meta.json").write_text(json.dumps(meta))
    command = [PROGRAM, "--inputDICOMDirectory", series, "--inputImageList", ",".join(files)]
    command += ["--inputMetadata", folder / "meta.json", "--outputDICOM", folder / "seg.dcm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return highdicom.seg.segread(folder / "seg.dcm")


@pytest.mark.skipif(not PROGRAM.is_file(), reason="dcmqi is not installed for this Python")
@pytest.mark.parametrize("kind", ["axial", "oblique", "sagittal"])
def test_a_result_comes_back_from_dicom_with_every_voxel_name_and_code(kind, tmp_path):
    volume = samples.volume(kind)
    node = result.add_result(volume, found()).segmentation
    read = exported(volume, node, tmp_path)
    assert read.number_of_segments == 2
    for number, entry in enumerate(samples.LEGEND, start=1):
        description = read.get_segment_description(number)
        assert description.segment_label == entry["display_name"]
        category, kind_of = (part.split("^") for part in entry["terminology"].split("~")[1:3])
        for code, wanted in (
            (description.segmented_property_category, category),
            (description.segmented_property_type, kind_of),
        ):
            assert [code.scheme_designator, code.value, code.meaning] == wanted
        assert description.algorithm_type.value == "AUTOMATIC"
        assert description.SegmentAlgorithmName == f"MultiTaskSeg {__version__} mr3d"
        stored = read.get_volume(segment_numbers=[number], combine_segments=False)
        np.testing.assert_array_equal(on_grid_of(volume, stored), samples.labels() == entry["value"])


def on_grid_of(volume_node: object, stored: object) -> np.ndarray:
    """A mask of a DICOM object on the grid of the volume: voxels go by their place in the world."""
    mask = np.zeros(slicer.util.arrayFromVolume(volume_node).shape, bool)
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ slicer.util.arrayFromVTKMatrix(_matrix(volume_node))
    voxels = np.argwhere(stored.array[..., 0] > 0)
    places_mm = np.c_[voxels, np.ones(len(voxels))] @ stored.affine.T
    ijk = np.rint(places_mm @ np.linalg.inv(to_lps).T).astype(int)
    mask[ijk[:, 2], ijk[:, 1], ijk[:, 0]] = True
    return mask


def test_segments_that_somebody_asked_for_in_the_editor_are_semiautomatic():
    volume = samples.volume()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    edited_segmentation.add_segments(volume, node, found())
    segments = node.GetSegmentation()
    kinds = {tag(segments.GetNthSegment(n), TYPE_TAG) for n in range(segments.GetNumberOfSegments())}
    assert kinds == {"SEMIAUTOMATIC"}


def test_tags_are_kept_by_a_saved_segmentation(tmp_path):
    volume = samples.volume()
    node = result.add_result(volume, found()).segmentation
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(tmp_path / "result.seg.nrrd"))
    assert storage.WriteData(node)
    loaded = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage.ReadData(loaded)
    again = loaded.GetSegmentation().GetNthSegment(0)
    assert (tag(again, TYPE_TAG), tag(again, NAME_TAG)) == ("AUTOMATIC", f"MultiTaskSeg {__version__} mr3d")


@pytest.mark.parametrize("model", ["x" * 100, "back\\slash", "bell\a", ""])
def test_any_model_name_becomes_a_name_that_dicom_allows(model):
    name = algorithm_name(model)
    assert 0 < len(name) <= LONGEST_NAME
    assert name == name.strip()
    assert name.isprintable()
    assert "\\" not in name


def test_released_models_have_names_that_are_told_whole():
    for planar in (False, True):
        name = released_model(planar).name.split(".")[0]
        assert algorithm_name(name).endswith(name)


def test_a_result_of_an_older_worker_without_a_model_is_tagged_all_the_same():
    plain = found()
    del plain.report["model"]
    plain = JobResult(plain.report, plain.labels, plain.uncertainty, plain.legend, [])
    node = result.add_result(samples.volume(), plain).segmentation
    assert tag(node.GetSegmentation().GetNthSegment(0), NAME_TAG) == f"MultiTaskSeg {__version__}"
