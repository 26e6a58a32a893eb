"""The command from its words to its table, with workers that die, images that are broken, and runs that end early."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.cohort.result.case_record import RECORD_FILE
from MultiTaskSegLib.cohort.result.journal import entries
from MultiTaskSegLib.cohort.result.lock import lock_results
from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.machine.result_place import REPORT
from Testing.cohort.pretended_ray import PretendedRay
from Testing.runtime.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three images and a broken one, which comes first."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        voxels = np.random.default_rng(number).normal(200, 40, (8, 9, 10)).astype(np.float32)
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(folder / f"scan{number}.nii.gz"))
    (folder / "broken.nii.gz").write_bytes(b"no image")
    return folder


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> PretendedRay:
    """It stands for the real one; Parquet needs the real PyArrow."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    made = PretendedRay()
    monkeypatch.setitem(sys.modules, "ray", made)
    monkeypatch.setattr("MultiTaskSegLib.cohort.ray_pool.find_spec", lambda name: name)
    return made


def words(model: Path, images: Path, *more: str, kind: str = "check") -> list[str]:
    given = [str(images), "-m", str(model), "-o", str(images.parent / "out"), "--device", "cpu"]
    return ["cohort", kind, *given, *more]


def rows(images: Path) -> dict[str, dict[str, str]]:
    with (images.parent / "out" / "cohort.csv").open(encoding="utf-8-sig", newline="") as stream:
        return {row["case"]: row for row in csv.DictReader(stream)}


def told(images: Path, event: str) -> list[dict[str, Any]]:
    return [entry for entry in entries(images.parent / "out") if entry["event"] == event]


def test_a_dead_worker_and_a_broken_image_cost_no_other_case_and_the_next_call_does_the_rest(
    model: Path, images: Path, ray: PretendedRay, capsys: pytest.CaptureFixture[str]
):
    ray.deaths = (3,)  # call 1 opens the model, 2 is the broken image, 3 the first good one
    assert cli.main(words(model, images, "--json", "--retries", "1")) == 4
    counts = json.loads(capsys.readouterr().out)
    assert [counts[key] for key in ("cases", "done", "failed", "pending")] == [4, 3, 1, 0]
    assert (ray.actors, ray.is_running) == (2, False)
    assert {name: row["status"] for name, row in rows(images).items()} == {
        "broken.nii.gz": "failed", "scan0.nii.gz": "done", "scan1.nii.gz": "done", "scan2.nii.gz": "done"
    }  # fmt: skip
    assert rows(images)["scan0.nii.gz"]["attempts"] == "2"
    reasons = [entry["reason"] for entry in told(images, "tried") if entry["case"] == "scan0.nii.gz"]
    assert reasons == ["the worker ended in the middle of it (The actor died unexpectedly: Its process was killed)"]
    ((folder_name, before),) = [
        (path.parent.name, path.stat().st_mtime_ns)
        for path in (images.parent / "out" / "cases").glob(f"scan1*/{RECORD_FILE}")
    ]
    shutil.copy(images / "scan0.nii.gz", images / "broken.nii.gz")
    calls = ray.calls
    assert cli.main(words(model, images)) == 0
    assert "4 of 4 cases are done, 0 failed" in capsys.readouterr().out
    assert ray.calls - calls == 2  # the model, and the image that was mended
    assert (images.parent / "out" / "cases" / folder_name / RECORD_FILE).stat().st_mtime_ns == before
    assert sorted(entry["case"] for entry in told(images, "done")) == sorted(rows(images))

    calls = ray.calls
    assert cli.main(words(model, images)) == 0
    assert ray.calls == calls
    assert cli.main(words(model, images, kind="segment")) == 2
    assert "holds results of another run: command 'check', not 'segment'" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not allow such names")
def test_the_name_of_an_image_begins_no_line_and_moves_no_cursor(
    model: Path, images: Path, ray: PretendedRay, capsys: pytest.CaptureFixture[str]
):
    (images / "broken.nii.gz").rename(images / "a\nfailed: scan0\x1b[2J\u202e.nii.gz")
    assert cli.main(words(model, images)) == 4
    said = capsys.readouterr()
    assert (said.out + said.err).replace("\n", "").isprintable()
    assert "failed: a?failed: scan0?[2J?.nii.gz: " in said.err


def test_a_file_that_ends_early_is_tried_as_often_as_promised_and_the_next_call_tries_it_alone(
    model: Path, images: Path, ray: PretendedRay
):
    whole = (images / "scan0.nii.gz").read_bytes()
    (images / "broken.nii.gz").write_bytes(whole[: len(whole) // 2])
    assert cli.main(words(model, images)) == 4
    calls = ray.calls
    assert cli.main(words(model, images)) == 4
    assert ray.calls - calls == 4  # the model, and three attempts
    assert "the compressed data is truncated or damaged" in rows(images)["broken.nii.gz"]["reason"]
    assert [entry["attempts"] for entry in told(images, "failed")] == [3, 3]
    assert sorted(entry["case"] for entry in told(images, "done")) == [f"scan{number}.nii.gz" for number in range(3)]


def test_what_ray_prints_does_not_come_between_the_counts(
    model: Path, images: Path, ray: PretendedRay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """It prints a page for each worker that dies, from a thread of its own."""
    wait = ray.wait

    def talk(*given: Any, **named: Any) -> Any:
        sys.stdout.write("(raylet) A worker died or was killed\n")
        return wait(*given, **named)

    monkeypatch.setattr(ray, "wait", talk)
    assert cli.main(words(model, images, "--json", "--retries", "0")) == 4
    said = capsys.readouterr()
    assert json.loads(said.out)["done"] == 3
    assert "(raylet)" in said.err


def test_a_disk_that_is_full_ends_the_run_and_what_is_done_stays(
    model: Path, images: Path, ray: PretendedRay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (images / "broken.nii.gz").unlink()
    write_text = Path.write_text

    def full(path: Path, *given: Any, **named: Any) -> int:
        if path.name == REPORT and "scan1" in str(path):
            raise OSError(28, "No space left on device", str(path))
        return write_text(path, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        assert cli.main(words(model, images)) == 4
    assert "the run ended early: cannot write (No space left on device)" in capsys.readouterr().err
    assert {name: row["status"] for name, row in rows(images).items()} == {
        "scan0.nii.gz": "done", "scan1.nii.gz": "pending", "scan2.nii.gz": "pending"
    }  # fmt: skip
    assert not ray.is_running
    assert cli.main(words(model, images)) == 0
    assert len(told(images, "done")) == 3


def test_a_run_that_is_interrupted_sums_up_and_frees_the_folder(
    model: Path, images: Path, ray: PretendedRay, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ray, "wait", interrupted)
    assert cli.main(words(model, images)) == 130
    assert {row["status"] for row in rows(images).values()} == {"pending"}
    assert not ray.is_running
    lock_results(images.parent / "out").release()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that ask a process to end")
def test_a_run_that_is_asked_to_end_sums_up_as_well(
    model: Path, images: Path, ray: PretendedRay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def asked(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise TimeoutError("nobody took the signal")

    before = signal.signal(signal.SIGTERM, lambda *_: None)  # as Ray takes it for itself
    try:
        monkeypatch.setattr(ray, "wait", asked)
        monkeypatch.setattr(ray, "kill", lambda _: None)
        assert cli.main(words(model, images)) == 130
        assert "interrupted" in capsys.readouterr().err
        assert {row["status"] for row in rows(images).values()} == {"pending"}
        lock_results(images.parent / "out").release()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_run_is_refused_before_it_touches_anything(
    model: Path, images: Path, ray: PretendedRay, capsys: pytest.CaptureFixture[str]
):
    lock = lock_results(images.parent / "out")
    assert cli.main(words(model, images)) == 4
    assert "is at work on these results" in capsys.readouterr().err
    assert [entry.name for entry in (images.parent / "out").iterdir()] == [".cohort.lock"]
    lock.release()


def test_a_path_of_a_list_that_leads_nowhere_is_told_at_once_and_listed_as_failed(
    model: Path, images: Path, ray: PretendedRay, capsys: pytest.CaptureFixture[str]
):
    listed = images / "list.txt"
    listed.write_text("gone.nii.gz\nscan2.nii.gz\n", encoding="utf-8")
    options = [str(listed), "-m", str(model), "-o", str(images.parent / "out"), "--device", "cpu"]
    assert cli.main(["cohort", "check", *options]) == 4
    said = capsys.readouterr()
    assert said.err.startswith("warning: gone.nii.gz: there is no such file or folder\n")
    assert "1 of 2 cases are done, 1 failed" in said.out
    assert rows(images)["gone.nii.gz"]["reason"] == "there is no such file or folder"
    listed.write_text("gone.nii.gz\n", encoding="utf-8")
    assert cli.main(["cohort", "check", *options]) == 4
    assert "no image of the list can be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--workers", "0"], "give a whole number, 1 or more"),
        (["--cpus", "nan"], "give a number, 0.01 or more"),
        (["--retries", "-1"], "give a whole number, 0 or more"),
        (["--task", "Liver"], "the model has no task 'Liver'"),
        (["-m", "nobody"], "nobody"),
    ],
)
def test_what_cannot_end_well_is_refused_before_anything_starts(
    model: Path, images: Path, ray: PretendedRay, capsys: pytest.CaptureFixture[str], more: list[str], said: str
):
    try:
        code = cli.main(words(model, images, *more, kind="segment"))
    except SystemExit as end:
        code = int(end.code or 0)
    assert code in (2, 4)
    assert said in capsys.readouterr().err
    assert not (images.parent / "out").exists()


def test_a_folder_with_other_images_of_the_same_names_is_refused_and_a_changed_image_is_done_anew(
    model: Path, images: Path, ray: PretendedRay, capsys: pytest.CaptureFixture[str]
):
    (images / "broken.nii.gz").unlink()
    assert cli.main(words(model, images)) == 0
    others = images.parent / "others"
    others.mkdir()
    shutil.copyfile(images / "scan0.nii.gz", others / "scan1.nii.gz")
    assert cli.main([*words(model, images)[:2], str(others), *words(model, images)[3:]]) == 4
    assert "there is a result of the same name, scan1.nii.gz, of another image" in capsys.readouterr().err
    before, calls = rows(images), ray.calls
    shutil.copyfile(images / "scan0.nii.gz", images / "scan1.nii.gz")
    os.utime(images / "scan2.nii.gz", (1, 1))  # the same bytes
    assert cli.main(words(model, images)) == 0
    said = "warning: scan1.nii.gz: the image was changed after its result was made; it is done anew\n"
    assert said in capsys.readouterr().err
    assert ray.calls - calls == 2  # the model, and this image
    after = rows(images)
    assert after["scan1.nii.gz"]["score"] == before["scan0.nii.gz"]["score"] != before["scan1.nii.gz"]["score"]
    assert [entry["case"] for entry in told(images, "changed")] == ["scan1.nii.gz"]
    assert [entry["case"] for entry in told(images, "done")].count("scan1.nii.gz") == 2


def test_a_result_of_a_changed_image_that_was_edited_stays_and_is_not_reported_as_done(
    model: Path, images: Path, ray: PretendedRay
):
    (images / "broken.nii.gz").unlink()
    assert cli.main(words(model, images)) == 0
    (report,) = (images.parent / "out" / "cases").glob("scan1*/report.json")
    report.write_text("mine", encoding="utf-8")
    shutil.copyfile(images / "scan0.nii.gz", images / "scan1.nii.gz")
    assert cli.main(words(model, images)) == 4
    assert report.read_text("utf-8") == "mine"
    assert rows(images)["scan1.nii.gz"]["status"] == "failed"
    assert f"move {report.parent} away" in rows(images)["scan1.nii.gz"]["reason"]
    shutil.rmtree(report.parent)
    assert cli.main(words(model, images)) == 0


def test_where_it_is_not_wanted_nothing_says_when_and_where_an_image_was_made(
    model: Path, images: Path, ray: PretendedRay, capsys: pytest.CaptureFixture[str]
):
    (images / "broken.nii.gz").unlink()
    facts = {"Manufacturer": "ACME", "InstitutionName": "North", "AcquisitionDateTime": "2026-01-02T03:04:05"}
    (images / "scan0.json").write_text(json.dumps(facts), encoding="utf-8")
    assert cli.main(words(model, images, "--no-origin")) == 0
    assert {(row["date"], row["scanner"], row["site"]) for row in rows(images).values()} == {("", "", "")}
    assert not any("ACME" in file.read_text("utf-8") for file in (images.parent / "out").rglob("*.json"))
    assert cli.main(words(model, images)) == 2
    assert "origin False, not True" in capsys.readouterr().err


def test_a_thorough_cohort_has_its_columns_and_is_never_mixed_with_one_that_is_not(
    model: Path, images: Path, ray: PretendedRay, capsys: pytest.CaptureFixture[str]
):
    (images / "broken.nii.gz").unlink()
    task = ["--task", "Dataset001_Balls", "--json"]
    assert cli.main(words(model, images, *task, "--thorough", kind="segment")) == 0
    alone = images.parent / "alone"
    given = [str(images / "scan1.nii.gz"), "-m", str(model), "-o", str(alone), "--device", "cpu", "--thorough"]
    assert cli.main(["segment", *given, *task]) == 0
    told = json.loads((alone / REPORT).read_text("utf-8"))
    row = rows(images)["scan1.nii.gz"]
    assert (row["thorough"], row["agreement"]) == (told["thorough"]["answer"], str(told["thorough"]["agreement"]))
    for label in told["labels"]:
        shown = "" if label["agreement"] is None else str(label["agreement"])
        assert row.get(f"{label['name']} agreement", "") == shown
    assert row["verdict"] in ("in distribution", "in distribution (unusual)", "out of distribution")
    page = (images.parent / "out" / "cohort.html").read_text("utf-8")
    assert "<th>thorough check</th>" in page
    calls = ray.calls
    assert cli.main(words(model, images, *task, "--thorough", kind="segment")) == 0
    assert ray.calls == calls  # nothing is done again
    capsys.readouterr()
    assert cli.main(words(model, images, *task, kind="segment")) == 2
    assert "holds results of another run: thorough True, not False" in capsys.readouterr().err
    assert rows(images)["scan1.nii.gz"] == row
