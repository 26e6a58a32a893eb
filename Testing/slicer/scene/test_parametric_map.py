"""The uncertainty as a DICOM Parametric Map, read back by highdicom."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed for this Python")
pydicom = pytest.importorskip("pydicom", reason="pydicom writes the DICOM files of these tests")

from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.scene.dicom.parametric_map import EXPLANATION, source_files, write_parametric_map
from MultiTaskSegLib.scene.heatmap import add_heatmap
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_dicom_seg import write_series


@pytest.fixture
def series(session, tmp_path):
    """A volume, its uncertainty, and its files in an order that is not that of the slices."""
    volume = samples.volume("oblique")
    shape = slicer.util.arrayFromVolume(volume).shape
    values = np.random.default_rng(3).random(shape).astype(np.float32)
    folder = tmp_path / "series"
    folder.mkdir()
    write_series(volume, folder)
    return volume, add_heatmap(volume, values, "uncertainty"), values, sorted(folder.glob("*.dcm"), reverse=True)


def test_every_voxel_comes_back_at_its_place_with_what_it_means(series, tmp_path) -> None:
    _volume, uncertainty, values, files = series
    write_parametric_map(uncertainty, files, tmp_path / "map.dcm")
    read = pydicom.dcmread(tmp_path / "map.dcm")
    assert read.SOPClassUID == "1.2.840.10008.5.1.4.1.1.30"
    frames = np.frombuffer(read.FloatPixelData, dtype="<f4").reshape(-1, read.Rows, read.Columns)
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ samples.ijk_to_ras("oblique")
    places = np.array([(to_lps @ (0, 0, k, 1))[:3] for k in range(len(values))])
    for pixels, group in zip(frames, read.PerFrameFunctionalGroupsSequence, strict=True):
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        k = int(np.linalg.norm(places - place, axis=1).argmin())
        np.testing.assert_allclose(place, places[k], atol=1e-3)
        np.testing.assert_array_equal(pixels, values[k])
    mapping = read.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.LUTExplanation == EXPLANATION
    assert read.StudyInstanceUID == pydicom.dcmread(files[0]).StudyInstanceUID
    assert read.PatientID == pydicom.dcmread(files[0]).PatientID


def test_a_map_on_another_grid_than_the_series_is_refused(series, tmp_path) -> None:
    _volume, uncertainty, _, files = series
    uncertainty.SetOrigin(0, 0, 0)
    with pytest.raises(InputError, match="not on the grid"):
        write_parametric_map(uncertainty, files, tmp_path / "map.dcm")
    assert not (tmp_path / "map.dcm").exists()


def test_the_files_are_those_that_slicers_database_has_for_the_volume(series, monkeypatch) -> None:
    volume, _, _, files = series
    known = {f"1.{number}": str(file) for number, file in enumerate(files)}
    monkeypatch.setattr(slicer, "dicomDatabase", SimpleNamespace(fileForInstance=lambda uid: known.get(uid, "")), False)
    with pytest.raises(InputError, match="DICOM database"):
        source_files(volume)
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(known))
    assert source_files(volume) == list(known.values())
    volume.SetAttribute("DICOM.instanceUIDs", "1.0 9.9")
    with pytest.raises(InputError):
        source_files(volume)


def test_without_highdicom_the_reason_is_said(series, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ResourceError, match="no highdicom"):
        write_parametric_map(series[1], series[3], tmp_path / "map.dcm")
