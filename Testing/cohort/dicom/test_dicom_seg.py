"""A result of a DICOM series comes back from DICOM SEG with every voxel, in every reader, and says what it is of."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.cohort.case_worker import CaseWorker, CohortJob
from MultiTaskSegLib.cohort.dicom import dicom_seg
from MultiTaskSegLib.cohort.dicom.dicom_seg import series_files, write_dicom_seg
from MultiTaskSegLib.cohort.result.results import case_folder
from MultiTaskSegLib.cohort.result.settings import SEGMENT, CohortSettings
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.cli import main
from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.sitk_image import to_sitk
from MultiTaskSegLib.runtime.machine.result_place import OBJECT_FILE
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import write_tiny_model

highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed for this Python")
pydicom = pytest.importorskip("pydicom", reason="pydicom writes the DICOM files of these tests")

READER = Path(sysconfig.get_path("scripts")) / "segimage2itkimage"  # what Slicer's DICOMSegmentationPlugin calls
BALLS = "Dataset001_Balls"
COMPLETE = {"FrameOfReferenceUID": "1.2.3", "PatientID": "P1", "PatientName": "Doe^J", "StudyID": "7"}
LATERAL = "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~SCT^64033007^Kidney"
LATERAL += "~SCT^7771000^Left~Anatomic codes - DICOM master list~SCT^818981001^Abdomen~SCT^24028007^Right"


def turned(degrees: float) -> np.ndarray:
    """A rotation about an oblique axis."""
    angle, axis = np.radians(degrees), np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def grid(kind: str) -> np.ndarray:
    """``ijk_to_lps`` of a stack of slices."""
    made = np.eye(4)
    made[:3, :3] = np.diag([1.5, 2.0, 2.5])
    made[:3, 3] = (-11.0, 7.5, 30.25)
    if kind == "oblique":
        made[:3, :3] = turned(31.0) @ made[:3, :3]
    if kind == "sagittal":
        made[:3, :3] = np.array([[0, 0, 2.5], [1.5, 0, 0], [0, -2.0, 0]])
    if kind == "reversed":  # the file that is named first is the last slice
        made[:3, 2] *= -1
    return made


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors"))


def segmented(folder: Path, predictor: Predictor, kind: str, tags: dict[str, str]) -> Segmentation:
    """The result of a series, with labels that no symmetry maps onto themselves."""
    voxels = np.random.default_rng(3).integers(0, 900, (6, 8, 9)).astype(np.uint16)
    from Testing.hostile.dicom_series import write_series  # needs pydicom

    write_series(folder, voxels, grid(kind), **tags)
    found = predictor.segment(read_image(folder), BALLS)
    labels = np.zeros(found.labels.shape, np.uint8)
    first, second = (label.value for label in found.task.labels[:2])
    labels[1:4, 2:5, 1:3] = first
    labels[4, 6, 5] = labels[0, 0, 0] = second
    return replace(found, labels=labels)


def by_highdicom(file: Path, image: sitk.Image, number: int) -> np.ndarray:
    """The mask of a segment on the grid of an image: voxels go by their place in the world."""
    read = highdicom.seg.segread(file).get_volume(segment_numbers=[number], combine_segments=False)
    mask = np.zeros(image.GetSize()[::-1], bool)
    for place in np.argwhere(read.array[..., 0] > 0):
        at_mm = read.affine[:3, :3] @ place + read.affine[:3, 3]
        mask[tuple(reversed(image.TransformPhysicalPointToIndex(at_mm.tolist())))] = True
    return mask


@pytest.mark.parametrize("kind", ["axial", "oblique", "sagittal", "reversed"])
@pytest.mark.parametrize("tags", [COMPLETE, {"FrameOfReferenceUID": "1.2.3"}], ids=["complete", "bare"])
def test_every_voxel_name_and_code_comes_back(tmp_path: Path, predictor: Predictor, kind: str, tags: dict[str, str]):
    found = segmented(tmp_path / "series", predictor, kind, tags)
    sources = series_files(Case("x", tmp_path / "series"))
    write_dicom_seg(found, sources, tmp_path / OBJECT_FILE)
    image, read = to_sitk(found.labels, found.volume), pydicom.dcmread(tmp_path / OBJECT_FILE)
    assert [read.FrameOfReferenceUID, read.Modality, len(read.SegmentSequence)] == ["1.2.3", "SEG", 2]
    assert read.get("PatientID", "") == tags.get("PatientID", "")
    series, referenced = pydicom.dcmread(sources[0]), read.ReferencedSeriesSequence[0]
    assert (read.StudyInstanceUID, referenced.SeriesInstanceUID) == (series.StudyInstanceUID, series.SeriesInstanceUID)
    assert len(referenced.ReferencedInstanceSequence) == 6
    for number, label in enumerate(found.task.labels[:2], start=1):
        segment = read.SegmentSequence[number - 1]
        code = segment.SegmentedPropertyTypeCodeSequence[0]
        assert segment.SegmentLabel == label.display_name
        assert f"{code.CodingSchemeDesignator}^{code.CodeValue}^{code.CodeMeaning}" == label.terminology.split("~")[2]
        np.testing.assert_array_equal(by_highdicom(tmp_path / OBJECT_FILE, image, number), found.labels == label.value)


@pytest.mark.skipif(not READER.is_file(), reason="dcmqi is not installed for this Python")
@pytest.mark.parametrize("kind", ["axial", "oblique", "sagittal", "reversed"])
def test_the_reader_that_slicer_calls_finds_the_same(tmp_path: Path, predictor: Predictor, kind: str):
    found = segmented(tmp_path / "series", predictor, kind, COMPLETE)
    write_dicom_seg(found, series_files(Case("x", tmp_path / "series")), tmp_path / OBJECT_FILE)
    out = tmp_path / "read"
    out.mkdir()
    words = ["--inputDICOM", str(tmp_path / OBJECT_FILE), "--outputDirectory", str(out), "--prefix", "s", "-t", "nrrd"]
    done = subprocess.run([str(READER), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    image = to_sitk(found.labels, found.volume)
    for number, label in enumerate(found.task.labels[:2], start=1):
        mask = on_grid(sitk.ReadImage(str(out / f"s-{number}.nrrd")), image)
        np.testing.assert_array_equal(mask, found.labels == label.value)
    told = json.loads((out / "s-meta.json").read_text("utf-8"))
    names = [segment["SegmentLabel"] for group in told["segmentAttributes"] for segment in group]
    assert names == [label.display_name for label in found.task.labels[:2]]


def on_grid(read: sitk.Image, image: sitk.Image) -> np.ndarray:
    mask = np.zeros(image.GetSize()[::-1], bool)
    for z, y, x in np.argwhere(sitk.GetArrayFromImage(read) > 0):
        at_mm = read.TransformIndexToPhysicalPoint((int(x), int(y), int(z)))
        mask[tuple(reversed(image.TransformPhysicalPointToIndex(at_mm)))] = True
    return mask


def test_sides_and_regions_are_coded(tmp_path: Path, predictor: Predictor):
    found = segmented(tmp_path / "series", predictor, "axial", COMPLETE)
    first, *others = found.task.labels
    labels = (replace(first, terminology=LATERAL), *others)
    found = replace(found, task=replace(found.task, labels=labels))
    write_dicom_seg(found, series_files(Case("x", tmp_path / "series")), tmp_path / OBJECT_FILE)
    segment = pydicom.dcmread(tmp_path / OBJECT_FILE).SegmentSequence[0]
    kind, region = segment.SegmentedPropertyTypeCodeSequence[0], segment.AnatomicRegionSequence[0]
    assert meanings([kind, *kind.SegmentedPropertyTypeModifierCodeSequence]) == ["Kidney", "Left"]
    assert meanings([region, *region.AnatomicRegionModifierSequence]) == ["Abdomen", "Right"]


def meanings(items: Sequence[Any]) -> list[str]:
    return [item.CodeMeaning for item in items]


def test_structures_that_overlap_keep_all_their_voxels(tmp_path: Path, predictor: Predictor):
    found = segmented(tmp_path / "series", predictor, "oblique", COMPLETE)
    regions = np.zeros((len(found.task.labels), *found.labels.shape), bool)
    regions[0, 1:4, 2:6, 2:6] = regions[1, 2:3, 3:5, 3:5] = True
    write_dicom_seg(
        replace(found, regions=regions), series_files(Case("x", tmp_path / "series")), tmp_path / OBJECT_FILE
    )
    image = to_sitk(found.labels, found.volume)
    for number in (1, 2):
        np.testing.assert_array_equal(by_highdicom(tmp_path / OBJECT_FILE, image, number), regions[number - 1])


def test_a_cohort_writes_the_object_and_tells_where_it_cannot(tmp_path: Path, predictor: Predictor):
    model = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    settings = CohortSettings(SEGMENT, "tiny", predictor.model.digest, BALLS, dicom_seg=True)
    settings.write(tmp_path / "out")
    worker = CaseWorker(CohortJob(settings, model, tmp_path / "out", "cpu"))
    found = segmented(tmp_path / "placed", predictor, "oblique", COMPLETE)
    segmented(tmp_path / "unplaced", predictor, "axial", {})
    sitk.WriteImage(to_sitk(found.volume.voxels, found.volume), str(tmp_path / "a.nii.gz"))
    cases = [Case(name, tmp_path / name) for name in ("placed", "unplaced", "a.nii.gz")]
    records = [worker.run(case, 1).record for case in cases]
    written = [(case_folder(tmp_path / "out", case) / OBJECT_FILE).is_file() for case in cases]
    told = ["".join(text for text in record.warnings if text.startswith("no DICOM SEG")) for record in records]
    assert written == [not told[0], False, False]
    assert "names no frame of reference" in told[1]
    assert told[2] == "no DICOM SEG: the image is none of DICOM"


def test_a_worker_on_a_machine_without_highdicom_refuses(tmp_path: Path, predictor: Predictor, monkeypatch):
    model = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    settings = CohortSettings(SEGMENT, "tiny", predictor.model.digest, BALLS, dicom_seg=True)
    settings.write(tmp_path / "out")
    monkeypatch.setattr(dicom_seg, "find_spec", lambda name: None)
    assert "needs highdicom" in CaseWorker(CohortJob(settings, model, tmp_path / "out", "cpu")).open()


def test_where_nothing_was_found_there_is_no_object(tmp_path: Path, predictor: Predictor):
    found = segmented(tmp_path / "series", predictor, "axial", COMPLETE)
    empty = replace(found, labels=np.zeros_like(found.labels))
    with pytest.raises(InputError, match="no structure was found"):
        write_dicom_seg(empty, series_files(Case("x", tmp_path / "series")), tmp_path / OBJECT_FILE)


def written(place: Path, found: Segmentation, **options: bool) -> Any:
    write_dicom_seg(found, series_files(Case("x", place / "series")), place / OBJECT_FILE, **options)
    return pydicom.dcmread(place / OBJECT_FILE)


def renamed(found: Segmentation, name: str) -> Segmentation:
    first, *others = found.task.labels
    return replace(found, task=replace(found.task, labels=(replace(first, display_name=name), *others)))


@pytest.mark.parametrize("characters", ["ISO_IR 100", "ISO_IR 192", ["", "ISO 2022 IR 87"]])
def test_names_of_every_language_come_through_whatever_the_series_is_written_in(
    tmp_path: Path, predictor: Predictor, characters: str | list[str]
):
    patient = "Müller^Jörg" if characters == "ISO_IR 100" else "Yamada^Tarou=山田^太郎"
    found = segmented(tmp_path / "series", predictor, "axial", COMPLETE)
    for file in (tmp_path / "series").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.SpecificCharacterSet, dataset.PatientName = characters, patient
        dataset.save_as(file)
    read = written(tmp_path, renamed(found, "Große Zyste 左\\rechts"))
    assert str(read.PatientName) == patient
    assert read.SegmentSequence[0].SegmentLabel == "Große Zyste 左/rechts"


def test_files_without_a_preamble_are_taken_too(tmp_path: Path, predictor: Predictor):
    found = segmented(tmp_path / "series", predictor, "axial", COMPLETE)
    for file in (tmp_path / "series").iterdir():
        head = 128 + 4 + 12 + pydicom.dcmread(file).file_meta.FileMetaInformationGroupLength
        file.write_bytes(file.read_bytes()[head:])
    assert written(tmp_path, found).PatientID == "P1"


def test_where_no_date_is_to_be_kept_the_object_has_none_of_the_study(tmp_path: Path, predictor: Predictor):
    told = {"StudyDate": "20260131", "StudyTime": "101112", "SeriesDate": "20260131", "AcquisitionDate": "20260131"}
    told |= {"InstitutionName": "North", "DeviceSerialNumber": "00123", "Manufacturer": "ACME"}
    found = segmented(tmp_path / "series", predictor, "axial", {**COMPLETE, **told})
    assert written(tmp_path, found).StudyDate == "20260131"
    shown = str(written(tmp_path, found, has_origin=False))
    assert [value for value in told.values() if value in shown] == []


def test_a_hundred_structures_take_no_memory_of_a_hundred_masks(tmp_path: Path, predictor: Predictor, monkeypatch):
    found = segmented(tmp_path / "series", predictor, "axial", COMPLETE)
    given: list[np.ndarray] = []
    whole = highdicom.Volume
    monkeypatch.setattr(highdicom, "Volume", lambda voxels, *a, **k: given.append(voxels) or whole(voxels, *a, **k))
    assert len(written(tmp_path, found).SegmentSequence) == 2
    assert given[0].nbytes == found.labels.nbytes


def test_one_image_alone_gets_its_object_and_a_later_result_without_takes_it_away(
    tmp_path: Path, predictor: Predictor, capsys: pytest.CaptureFixture[str]
):
    segmented(tmp_path / "series", predictor, "oblique", COMPLETE)
    model, out = write_tiny_model(tmp_path / "tiny.mts.safetensors"), tmp_path / "out"
    words = ["segment", str(tmp_path / "series"), "-m", str(model), "-o", str(out), "--task", BALLS, "--device", "cpu"]
    assert main([*words, "--dicom-seg"]) == 0
    assert "no DICOM SEG" not in capsys.readouterr().err
    read = pydicom.dcmread(out / OBJECT_FILE)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "segmentation.nii.gz")))
    assert len(read.SegmentSequence) == len(np.unique(labels[labels > 0]))
    before = (out / OBJECT_FILE).read_bytes()
    (out / OBJECT_FILE).write_bytes(before + b"by hand")
    assert main(words) == 4
    assert "was changed since it was written" in capsys.readouterr().err
    (out / OBJECT_FILE).write_bytes(before)
    assert main(words) == 0
    assert not (out / OBJECT_FILE).exists()


def test_of_an_image_that_is_no_series_it_is_told_that_there_is_none(
    tmp_path: Path, predictor: Predictor, capsys: pytest.CaptureFixture[str]
):
    found = segmented(tmp_path / "series", predictor, "axial", COMPLETE)
    sitk.WriteImage(to_sitk(found.volume.voxels, found.volume), str(tmp_path / "a.nii.gz"))
    model = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    words = ["segment", str(tmp_path / "a.nii.gz"), "-m", str(model), "-o", str(tmp_path / "out"), "--task", BALLS]
    assert main([*words, "--device", "cpu", "--dicom-seg"]) == 0
    assert "warning: no DICOM SEG: the image is none of DICOM" in capsys.readouterr().err
    assert not (tmp_path / "out" / OBJECT_FILE).exists()
