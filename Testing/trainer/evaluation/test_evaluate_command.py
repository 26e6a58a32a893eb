"""``evaluate`` as a command: which cases it takes, and what it compares with what."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.trainer.evaluation.known_answer import BALLS, CUBES, HELD_OUT, write_answers, write_model
from trainer import cli


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors")


@pytest.fixture(scope="module")
def folder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients, two of them held out, and two in the test split that the model does not know of."""
    parent = tmp_path_factory.mktemp("data")
    write_answers(model, parent / BALLS, ("t1", "p1"), "imagesTs", seed=5)
    return write_answers(model, parent / BALLS, ("p0", "p1", "p2", "p3"))


def evaluated(model: Path, folder: Path, out: Path, *options: str) -> tuple[int, dict[str, Any], list[dict[str, str]]]:
    """Exit status, ``metrics.json`` and the rows of ``cases.csv``."""
    words = ["evaluate", "-m", str(model), "--data", str(folder), "-o", str(out), "--task", "dataset", *options]
    status = cli.main(words)
    rows = list(csv.DictReader((out / "cases.csv").read_text(encoding="utf-8").splitlines()))
    return status, json.loads((out / "metrics.json").read_text(encoding="utf-8")), rows


def cases(rows: list[dict[str, str]]) -> list[str]:
    return sorted({row["case"] for row in rows})


def test_truth_has_the_dataset_s_numbers_and_is_compared_by_the_names_of_labels(
    model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, metrics, rows = evaluated(model, folder, tmp_path)
    assert status == 0
    figures = metrics["datasets"][BALLS]
    # The truth is the model's own answer: with the wrong numbers nothing would overlap.
    assert figures["dice"] == {"left_ball": 1.0, "right_ball": 1.0}
    assert {row["label"] for row in rows} == {"left_ball", "right_ball"}
    assert figures["recognised"] == 1.0
    assert metrics["model"] == load_model(model).digest
    out = capsys.readouterr().out
    assert f"{BALLS}: 2 cases, mean foreground Dice 1.000, recognised 100 %" in out
    assert f"report: {tmp_path / 'report.html'}" in out
    assert (tmp_path / "report.html").is_file()


def test_of_the_training_images_only_those_of_held_out_patients_are_taken_unless_all_are_asked_for(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    _, metrics, rows = evaluated(model, folder, tmp_path / "held out")
    assert cases(rows) == sorted(HELD_OUT)
    assert (metrics["split"], metrics["datasets"][BALLS]["cases"]) == ("imagesTr", 2)
    assert metrics["with_training_cases"] is False
    _, metrics, rows = evaluated(model, folder, tmp_path / "all", "--all-cases")
    assert cases(rows) == ["p0", "p1", "p2", "p3"]
    assert metrics["datasets"][BALLS]["cases"] == 4
    assert metrics["with_training_cases"] is True


def test_of_the_test_images_those_of_patients_who_were_trained_on_are_left_out(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    write_answers(model, folder, ("p0", "p1", "t1"), "imagesTs")
    _, metrics, rows = evaluated(model, folder, tmp_path, "--split", "imagesTs")
    assert cases(rows) == ["p1", "t1"]
    assert (metrics["split"], metrics["with_training_cases"]) == ("imagesTs", False)
    assert metrics["left_out_as_seen"] == {BALLS: 1}
    _, metrics, rows = evaluated(model, folder, tmp_path / "all", "--split", "imagesTs", "--all-cases")
    assert cases(rows) == ["p0", "p1", "t1"]
    assert metrics["with_training_cases"] is True
    assert metrics["datasets"][BALLS]["dice"] == {"left_ball": 1.0, "right_ball": 1.0}


def test_patients_whom_the_model_knows_from_another_dataset_are_left_out_with_a_word_and_labels_it_lacks_are_not_found(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_answers(model, tmp_path / "Dataset077_Other", ("p0", "p1", "x2", "x3"), extra="liver")
    words = ["evaluate", "-m", str(model), "--data", str(other), "-o", str(tmp_path / "out")]
    assert cli.main(words) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert "1 of 4 cases of Dataset077_Other are left out" in capsys.readouterr().err
    figures = metrics["datasets"]["Dataset077_Other"]
    assert figures["cases"] == 3
    assert figures["dice"]["liver"] == 0.0
    assert figures["recognised"] == 0.0  # no task has the dataset's name


def test_the_dataset_s_name_is_the_task_when_asked_for_however_the_images_look(model: Path, tmp_path: Path) -> None:
    for name in (BALLS, CUBES):
        folder = write_answers(model, tmp_path / name, ("q0", "p1"))
        _, _, rows = evaluated(model, folder, tmp_path / f"{name} out", "--all-cases")
        assert {row["task"] for row in rows} == {name}


def test_a_missed_part_of_a_structure_costs_what_dice_says(model: Path, tmp_path: Path) -> None:
    folder = write_answers(model, tmp_path / BALLS, HELD_OUT[:1])
    path = folder / "labelsTr" / f"{HELD_OUT[0]}.nii.gz"
    image = sitk.ReadImage(str(path))
    truth = sitk.GetArrayFromImage(image)
    places = np.argwhere(truth == 7)
    wrong = places[: len(places) // 2]
    truth[tuple(wrong.T)] = 0
    changed = sitk.GetImageFromArray(truth)
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(path))
    _, metrics, _ = evaluated(model, folder, tmp_path / "out")
    left = 2 * (len(places) - len(wrong)) / (2 * len(places) - len(wrong))
    figures = metrics["datasets"][BALLS]
    assert figures["dice"] == pytest.approx({"left_ball": left, "right_ball": 1.0})
    assert figures["mean_foreground_dice"] == pytest.approx((left + 1) / 2)


def test_without_a_case_that_was_held_out_nothing_is_evaluated(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_answers(model, tmp_path / BALLS, ("p0", "p2"))
    words = ["evaluate", "-m", str(model), "--data", str(folder), "-o", str(tmp_path / "out")]
    assert cli.main(words) == 4
    assert "no case is left to evaluate" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# A single slice of truth would fit every slice of the result by broadcasting.
@pytest.mark.parametrize("slices", [5, 1])
def test_a_label_map_of_another_shape_than_its_image_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], slices: int
) -> None:
    folder = write_answers(model, tmp_path / BALLS, HELD_OUT[:1])
    path = folder / "labelsTr" / f"{HELD_OUT[0]}.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(path))[:, :, :slices], str(path))
    words = ["evaluate", "-m", str(model), "--data", str(folder), "-o", str(tmp_path / "out"), "--task", "dataset"]
    assert cli.main(words) == 4
    assert f"shape ({slices}, 16, 16), the image (8, 16, 16)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, words",
    [
        ((), f"The model has seen none of these patients; left out as seen: 2 of {BALLS} cases."),
        (("--all-cases",), "Cases that the model was trained on are among these"),
    ],
)
def test_the_report_says_whose_figures_they_are(
    model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    evaluated(model, folder, tmp_path, *options)
    assert words in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("trained on are among" in capsys.readouterr().out) == bool(options)


def test_pictures_show_a_typical_and_the_worst_case_and_need_a_number_that_makes_sense(
    model: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, metrics, rows = evaluated(model, folder, tmp_path, "--pictures", "1")
    assert status == 0
    assert metrics["pictures"] == {BALLS: f"{BALLS}.jpg"}
    picture = sitk.ReadImage(str(tmp_path / "pictures" / f"{BALLS}.jpg"))
    # Four columns of three inches, and a row of three inches for each of one or two cases.
    assert picture.GetSize()[0] == 960
    assert picture.GetSize()[1] >= 240
    # The truth is the answer itself: the surfaces are the same.
    assert {row["surface_dice"] for row in rows} == {"1.000000"}
    assert {row["hausdorff95"] for row in rows} == {"0.000000"}
    assert {row["tolerance"] for row in rows} == {"2"}
    assert cli.main(["evaluate", "-m", str(model), "--data", str(folder), "-o", str(tmp_path), "--pictures", "-1"]) == 2
    assert "--pictures is -1" in capsys.readouterr().err


def test_without_pictures_there_is_no_folder_of_them(model: Path, folder: Path, tmp_path: Path) -> None:
    _, metrics, _ = evaluated(model, folder, tmp_path)
    assert metrics["pictures"] == {}
    assert not (tmp_path / "pictures").exists()
