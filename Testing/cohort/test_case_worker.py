"""A worker gives what one image alone gives, keeps it whole with its row, and never raises."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.cohort.case_worker import CaseWorker, CohortJob
from MultiTaskSegLib.cohort.overview.summary_files import CSV_FILE, PAGE_FILE, PARQUET_FILE, all_records, write_summary
from MultiTaskSegLib.cohort.result.case_record import PICTURE_FILE, RECORD_FILE
from MultiTaskSegLib.cohort.result.results import case_folder, known_results
from MultiTaskSegLib.cohort.result.settings import CHECK, SEGMENT, CohortSettings
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.machine.result_place import RESULT_FILES
from MultiTaskSegLib.runtime.model.model_file import reference_tensors, save_model
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.runtime.selection.selection import Selection
from Testing.runtime.tiny_model import tiny_images, tiny_manifest, tiny_network, tiny_reference, write_tiny_model

BALLS = "Dataset001_Balls"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_tiny_model(folder / "tiny.mts.safetensors")
    voxels = np.random.default_rng(8).normal(200, 40, (8, 9, 10)).astype(np.float32)
    stored = sitk.GetImageFromArray(voxels)
    stored.SetSpacing((1.5, 2.0, 2.5))
    sitk.WriteImage(stored, str(folder / "scan.nii.gz"))
    (folder / "broken.nii.gz").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def predictor(place: Path) -> Predictor:
    return Predictor.load(place / "tiny.mts.safetensors")


def job_in(
    output: Path, place: Path, predictor: Predictor, command: str = SEGMENT, *, thorough: bool = False
) -> CohortJob:
    task = BALLS if command == SEGMENT else ""
    settings = CohortSettings(command, "tiny", predictor.model.digest, task, thorough=thorough)
    settings.write(output)
    return CohortJob(settings, place / "tiny.mts.safetensors", output, "cpu")


def test_a_case_gets_the_files_and_figures_of_its_image_alone(place: Path, predictor: Predictor, tmp_path: Path):
    case = Case("scan.nii.gz", place / "scan.nii.gz")
    worker = CaseWorker(job_in(tmp_path, place, predictor))
    assert worker.open() == ""
    outcome = worker.run(case, 2)
    folder = case_folder(tmp_path, case)
    assert {file.name for file in folder.iterdir()} == {*RESULT_FILES, RECORD_FILE, PICTURE_FILE}
    alone = predictor.segment(read_image(case.image), BALLS)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "segmentation.nii.gz"))), alone.labels)
    record, report = outcome.record, json.loads((folder / "report.json").read_text("utf-8"))
    assert record == known_results(tmp_path, [case]).finished["scan.nii.gz"]
    assert (record.score, record.limit, record.p_value) == (
        alone.verdict.score,
        alone.verdict.threshold,
        alone.verdict.p_value,
    )
    assert record.volumes_ml == {row["name"]: row["volume_mm3"] / 1000 for row in report["labels"]}
    assert record.quality == report["quality"]["answer"] != ""
    assert (record.attempts, record.task, record.model_sha256) == (2, BALLS, predictor.model.digest)
    assert (folder / PICTURE_FILE).read_bytes().startswith(b"\x89PNG")


def test_a_thorough_case_has_the_answer_and_the_agreements_of_its_image_alone(
    place: Path, predictor: Predictor, tmp_path: Path
):
    case = Case("scan.nii.gz", place / "scan.nii.gz")
    volume = read_image(case.image)
    alone = Selection(BALLS, is_thorough=True).segment(predictor, volume, lambda *_: None)
    told, found = alone.report(), {}
    for thorough in (False, True):
        worker = CaseWorker(job_in(tmp_path / str(thorough), place, predictor, thorough=thorough))
        assert worker.open() == ""
        found[thorough] = worker.run(case, 1).record
    record, plain = found[True], found[False]
    assert (record.thorough, record.agreement) == (told["thorough"]["answer"], told["thorough"]["agreement"])
    assert record.agreements == {row["name"]: row["agreement"] for row in told["labels"]}
    assert len(record.agreements) == 2
    assert record == known_results(tmp_path / "True", [case]).finished["scan.nii.gz"]
    kept = {"thorough": plain.thorough, "agreement": plain.agreement, "agreements": plain.agreements}
    assert kept == {"thorough": "", "agreement": None, "agreements": {}}
    assert replace(record, **kept, seconds=plain.seconds) == plain  # nothing else is another
    folders = [case_folder(tmp_path / str(thorough), case) for thorough in (False, True)]
    first, second = (sitk.ReadImage(str(folder / "segmentation.nii.gz")) for folder in folders)
    assert np.array_equal(sitk.GetArrayFromImage(first), sitk.GetArrayFromImage(second))


def test_a_check_keeps_its_verdict_alone(place: Path, predictor: Predictor, tmp_path: Path):
    case = Case("scan.nii.gz", place / "scan.nii.gz")
    record = CaseWorker(job_in(tmp_path, place, predictor, CHECK)).run(case, 1).record
    verdict = predictor.check(read_image(case.image))
    assert (record.score, record.nearest_task, record.task) == (verdict.score, verdict.nearest_task, "")
    assert record.quality == ""
    assert {file.name for file in case_folder(tmp_path, case).iterdir()} == {"report.json", RECORD_FILE, PICTURE_FILE}


def test_an_image_that_fails_is_told_with_its_reason_and_leaves_nothing(
    place: Path, predictor: Predictor, tmp_path: Path
):
    worker = CaseWorker(job_in(tmp_path, place, predictor))
    outcome = worker.run(Case("broken.nii.gz", place / "broken.nii.gz"), 1)
    assert (outcome.record, outcome.is_general) == (None, False)
    assert str(place / "broken.nii.gz") in outcome.reason
    assert not (tmp_path / "cases").exists()


def test_where_nothing_can_be_written_the_whole_run_hears_of_it(place: Path, predictor: Predictor, tmp_path: Path):
    worker = CaseWorker(job_in(tmp_path, place, predictor, CHECK))
    (tmp_path / "cases").write_bytes(b"")
    outcome = worker.run(Case("scan.nii.gz", place / "scan.nii.gz"), 1)
    assert (outcome.record, outcome.is_general) == (None, True)


@pytest.mark.parametrize("command", [SEGMENT, CHECK])
def test_a_model_that_is_replaced_in_the_middle_ends_the_run(
    place: Path, predictor: Predictor, tmp_path: Path, command: str
):
    own = tmp_path / "own.mts.safetensors"
    own.write_bytes((place / "tiny.mts.safetensors").read_bytes())
    worker = CaseWorker(replace(job_in(tmp_path / "out", place, predictor, command), model=own))
    case = Case("scan.nii.gz", place / "scan.nii.gz")
    assert worker.open() == ""
    save_model(own, tiny_manifest(), tiny_network(seed=6), reference_tensors(tiny_images(), tiny_reference()))
    outcome = worker.run(case, 1)
    assert (outcome.record, outcome.is_general) == (None, True)
    assert "was replaced during the run" in outcome.reason


def test_a_worker_that_sees_another_model_or_another_folder_refuses(place: Path, predictor: Predictor, tmp_path: Path):
    job = job_in(tmp_path, place, predictor)
    other = replace(job.settings, model_sha256="0" * 64)
    assert "does not see the folder" in CaseWorker(replace(job, settings=other)).open()
    other.write(tmp_path)
    assert "sees another model" in CaseWorker(replace(job, settings=other)).open()
    unknown = replace(job.settings, structures=("liver",))
    unknown.write(tmp_path)
    assert "liver" in CaseWorker(replace(job, settings=unknown)).open()


def test_a_series_that_shares_its_folder_is_segmented_as_if_it_were_alone(
    place: Path, predictor: Predictor, tmp_path: Path
):
    pytest.importorskip("pydicom", reason="pydicom writes the DICOM files of these tests")
    from Testing.hostile.dicom_series import dicom_slice

    voxels = np.random.default_rng(3).integers(0, 900, (6, 8, 8)).astype(np.uint16)
    for k in range(6):
        for uid, factor in (("1.2", 1), ("1.3", 2)):
            made = dicom_slice(voxels[k] * factor, np.diag([2.0, 2.0, 2.0, 1.0]), k, uid)
            (tmp_path / "both").mkdir(exist_ok=True)
            made.save_as(tmp_path / "both" / f"{uid}_{k}.dcm", enforce_file_format=True)
    files = tuple(sorted((tmp_path / "both").glob("1.2_*")))
    worker = CaseWorker(job_in(tmp_path / "out", place, predictor))
    case = Case("1.2", tmp_path / "both", files)
    assert worker.run(case, 1).reason == ""
    folder = case_folder(tmp_path / "out", case)
    assert json.loads((folder / "report.json").read_text("utf-8"))["image"] == "both"
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in files:
        (alone / file.name).write_bytes(file.read_bytes())
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "segmentation.nii.gz")))
    assert np.array_equal(labels, predictor.segment(read_image(alone), BALLS).labels)
    torn = Case("torn", tmp_path / "both", (*files, tmp_path / "both" / "1.3_0.dcm"))
    assert f"{tmp_path / 'both'}" in worker.run(torn, 1).reason


def test_tables_and_page_tell_what_became_of_every_case(place: Path, predictor: Predictor, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    job = job_in(tmp_path, place, predictor)
    cases = [Case(name, place / name) for name in ("scan.nii.gz", "broken.nii.gz", "later.nii.gz")]
    record = CaseWorker(job).run(cases[0], 1).record
    rows = all_records(cases, {"scan.nii.gz": record}, {"broken.nii.gz": ("no <b>image</b>", 3)})
    write_summary(rows, job.settings, tmp_path)
    table = parquet.read_table(tmp_path / PARQUET_FILE).to_pydict()
    assert table["status"] == ["done", "failed", "pending"]
    assert table["score"] == [record.score, None, None]
    assert table["left ball [mL]"] == [record.volumes_ml["left ball"], None, None]
    with (tmp_path / CSV_FILE).open(encoding="utf-8-sig", newline="") as stream:
        read = list(csv.DictReader(stream))
    assert [row["reason"] for row in read] == table["reason"] == ["", "no <b>image</b>", ""]
    assert list(read[0]) == list(table)
    for title, values in table.items():
        assert [row[title] for row in read] == ["" if value is None else str(value) for value in values]
    page = (tmp_path / PAGE_FILE).read_text("utf-8")
    assert "3 cases: 1 done, 1 failed, 1 pending" in page
    assert "no &lt;b&gt;image&lt;/b&gt;" in page
    assert f"cases/{cases[0].folder_name}/segmentation.nii.gz" in page
    assert "data:image/png;base64," in page
