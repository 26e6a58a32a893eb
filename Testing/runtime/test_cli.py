"""The command line's contract: exit codes, the keys of its JSON, and files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.model.model_file import load_model, reference_tensors, rewrite_manifest, save_model
from MultiTaskSegLib.runtime.model.released import named_model, released_model
from MultiTaskSegLib.runtime.quality.quality_info import QualityInfo, TaskQuality
from MultiTaskSegLib.runtime.quality.quality_words import quality_sentence
from MultiTaskSegLib.runtime.quality.usability import USABILITIES
from Testing.runtime.tiny_model import tiny_images, tiny_manifest, tiny_network, tiny_reference, write_tiny_model

REPORT_KEYS = {"checked",
    "schema", "image", "model", "task", "device", "labels", "ood", "network_grid", "uncertainty", "timings",
    "warnings", "sha256", "quality", "precision", "thorough"
}  # fmt: skip
LABEL_KEYS = {
    "value", "name", "terminology", "voxels", "volume_mm3", "area_mm2", "mean_confidence", "predicted_dice",
    "agreement", "dice_at_least"
}  # fmt: skip
OOD_KEYS = {"is_ood", "score", "threshold", "p_value", "nearest_task", "distances", "explanation", "rivals"}
EXPLANATION_KEYS = {"percent_of_known_nearer", "blocks", "sentence"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors")


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with a limit that nothing exceeds."""
    manifest, images = tiny_manifest(), tiny_images()
    tensors = reference_tensors(images, tiny_reference())
    path = tmp_path_factory.mktemp("lenient") / "lenient.mts.safetensors"
    save_model(path, replace(manifest, ood=replace(manifest.ood, threshold=1e9)), tiny_network(), tensors)
    return path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "scan.nii.gz"
    voxels = np.random.default_rng(8).normal(200, 40, (8, 9, 10)).astype(np.float32)
    stored = sitk.GetImageFromArray(voxels)
    stored.SetSpacing((1.5, 2.0, 2.5))
    sitk.WriteImage(stored, str(path))
    return path


def test_segment_and_check_print_the_grid_on_which_the_network_saw_the_image(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = sitk.GetImageFromArray(np.random.default_rng(8).normal(200, 40, (8, 9, 10)).astype(np.float32))
    stored.SetSpacing((1.5, 2.0, 5.0))
    sitk.WriteImage(stored, str(tmp_path / "thick.nrrd"))
    cli.main(["segment", str(tmp_path / "thick.nrrd"), "-m", str(model), "-o", str(tmp_path), "--json"])
    report = json.loads(capsys.readouterr().out)
    cli.main(["check", str(tmp_path / "thick.nrrd"), "-m", str(model), "--json"])
    (entry,) = json.loads(capsys.readouterr().out)
    assert report["network_grid"] == entry["network_grid"]
    assert report["network_grid"] == {
        "orientation": "LPS",
        "size": [8, 9, 16],
        "spacing_mm": [2.0, 2.0, 2.5],
        "image_spacing_mm": [1.5, 2.0, 5.0],
        "trained_spacing_mm": [2.0, 2.0, 2.0],
    }
    words = "the voxels (1.5 × 2 × 5 mm) are much coarser than in the training images (2 × 2 × 2 mm); "
    for said in (report["warnings"], entry["warnings"]):
        assert words + "the model saw them at 2 × 2 × 2.5 mm" in said


def test_the_report_has_exactly_the_keys_of_the_contract(
    model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["segment", str(image), "-m", str(model), "-o", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert set(printed) == REPORT_KEYS
    assert printed["model"] == {"name": "tiny", "sha256": load_model(model).digest}
    assert set(printed["ood"]) == OOD_KEYS
    assert set(printed["ood"]["explanation"]) == EXPLANATION_KEYS
    assert set(printed["ood"]["explanation"]["blocks"][0]) >= {"layer", "part", "ratio"}
    assert set(printed["ood"]["distances"]) == {"Dataset001_Balls", "Dataset002_Cubes"}
    assert all(set(label) == LABEL_KEYS for label in printed["labels"])
    assert "mean_foreground" in printed["uncertainty"]
    assert printed["device"] in ("cpu", "cuda")
    assert isinstance(printed["warnings"], list)


def test_the_summary_names_confidence_and_predicted_dice_of_each_structure(
    lenient: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["segment", str(image), "-m", str(lenient), "-o", str(tmp_path), "--task", "Dataset001_Balls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for label in json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["labels"]:
        own = next(line for line in lines if f" {label['name']} " in line)
        if label["predicted_dice"] is None:
            assert own.endswith("not found")
        else:
            assert label["dice_at_least"] is None
            figures = (label["mean_confidence"], label["predicted_dice"])
            assert own.endswith("mean confidence {:.2f}, predicted Dice {:.2f}".format(*figures))


def test_the_summary_answers_whether_the_result_is_good_and_how_far_the_figure_may_be_relied_on(
    lenient: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = load_model(lenient).manifest
    known = replace(manifest, quality=QualityInfo(1, (TaskQuality(12, 0.05, intercept=0.2), TaskQuality(3))))
    informed = tmp_path / "informed.mts.safetensors"
    rewrite_manifest(lenient, known, informed)
    words = ["segment", str(image), "-m", str(informed), "-o", str(tmp_path), "--task", "Dataset001_Balls"]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert f"quality: {quality_sentence(report['quality'])}\n" in shown
    assert report["quality"]["answer"] in USABILITIES
    for label in report["labels"]:
        if label["predicted_dice"] is not None:
            assert label["dice_at_least"] == pytest.approx(max(0.0, label["predicted_dice"] - 0.05))
            assert f"at least {label['dice_at_least']:.2f} in nine of ten such images" in shown


def test_of_a_foreign_image_no_dice_is_foretold(
    model: Path, lenient: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = load_model(model).manifest
    strict = tmp_path / "strict.mts.safetensors"
    rewrite_manifest(model, replace(manifest, ood=replace(manifest.ood, threshold=1e-6)), strict)
    found = {}
    for judge in (strict, lenient):
        words = ["segment", str(image), "-m", str(judge), "-o", str(tmp_path), "--task", "Dataset001_Balls"]
        assert cli.main(words) == 0
        report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        found[judge] = (report["ood"]["is_ood"], [label["predicted_dice"] for label in report["labels"]])
        assert ("predicted Dice" in capsys.readouterr().out) is (judge == lenient)
    assert found[strict] == (True, [None, None])
    assert not found[lenient][0]
    assert any(dice is not None for dice in found[lenient][1])


def test_the_report_s_figures_are_those_of_the_written_maps(model: Path, image: Path, tmp_path: Path) -> None:
    arguments = ["segment", str(image), "-m", str(model), "-o", str(tmp_path), "--task", "Dataset001_Balls"]
    assert cli.main(arguments) == 0
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "segmentation.nii.gz")))
    uncertainty = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "uncertainty.nii.gz")))
    assert report["task"] == "Dataset001_Balls"
    assert [label["value"] for label in report["labels"]] == [1, 2]
    for label in report["labels"]:
        count = int((labels == label["value"]).sum())
        assert label["voxels"] == count
        assert label["volume_mm3"] == pytest.approx(count * 1.5 * 2.0 * 2.5, rel=1e-5)
    assert report["uncertainty"]["mean_foreground"] == pytest.approx(float(uncertainty[labels > 0].mean()), rel=1e-4)
    assert uncertainty.dtype == np.float32
    assert 0 <= uncertainty.min() <= uncertainty.max() <= 1


def test_check_prints_one_verdict_per_image_that_segment_would_give(
    model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(image), str(image), "-m", str(model), "--json"]) == 0
    verdicts = json.loads(capsys.readouterr().out)
    assert [set(v) for v in verdicts] == [{"image", "model", "ood", "network_grid", "warnings"}] * 2
    cli.main(["segment", str(image), "-m", str(model), "-o", str(tmp_path), "--json"])
    assert json.loads(capsys.readouterr().out)["ood"] == verdicts[0]["ood"] == verdicts[1]["ood"]
    assert verdicts[0]["image"] == str(image)


def test_exit_code_3_only_when_asked_for_and_only_out_of_distribution(model: Path, lenient: Path, image: Path) -> None:
    assert cli.main(["check", str(image), "-m", str(model)]) == 0
    assert cli.main(["check", str(image), "-m", str(model), "--fail-on-ood"]) == 3
    assert cli.main(["check", str(image), "-m", str(lenient), "--fail-on-ood"]) == 0


def test_a_refused_image_outweighs_one_out_of_distribution(model: Path, image: Path, tmp_path: Path) -> None:
    arguments = ["check", str(image), str(tmp_path / "missing.nii.gz"), "-m", str(model), "--fail-on-ood"]
    assert cli.main(arguments) == 4


def test_info_shows_the_card_and_as_json_the_manifest(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(model)]) == 0
    card = capsys.readouterr().out
    assert all(words in card for words in ("tiny", "Dataset001_Balls", "tests only", load_model(model).digest))
    assert cli.main(["info", str(model), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["sha256"] == load_model(model).digest
    assert printed["manifest"]["name"] == "tiny"


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from MultiTaskSegLib import __version__

    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "error, code, words",
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 4, "not enough memory"),
        (ZeroDivisionError("two\nlines"), 4, "ZeroDivisionError: two lines"),
    ],
)
def test_whatever_goes_wrong_is_one_line(
    error: BaseException,
    code: int,
    words: str,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr("MultiTaskSegLib.runtime.imported.described_model.described_model", fail)
    assert cli.main(["info", str(model)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1


def test_check_and_segment_say_why(
    model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(image), "-m", str(model), "--json"]) == 0
    sentence = json.loads(capsys.readouterr().out)[0]["ood"]["explanation"]["sentence"]
    for command in (["check"], ["segment", "-o", str(tmp_path)]):
        assert cli.main([command[0], str(image), "-m", str(model), *command[1:]]) == 0
        assert sentence in capsys.readouterr().out


def test_check_writes_a_map_on_the_images_own_grid(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    located = write_tiny_model(tmp_path / "located.mts.safetensors", with_cells=True)
    maps = tmp_path / "maps"
    assert cli.main(["check", str(image), "-m", str(located), "--map", str(maps), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)[0]
    assert answer["map"] == str(maps / "scan_foreign.nii.gz")
    written, original = sitk.ReadImage(answer["map"]), sitk.ReadImage(str(image))
    assert written.GetSize() == original.GetSize()
    np.testing.assert_allclose(written.GetSpacing(), original.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(written.GetOrigin(), original.GetOrigin(), atol=1e-6)
    values = sitk.GetArrayFromImage(written)
    assert values.dtype == np.float32
    assert 0.0 <= values.min() <= values.max() <= 4.001
    assert cli.main(["check", str(image), "-m", str(located), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0] == {
        key: answer[key] for key in ("image", "model", "ood", "network_grid", "warnings")
    }


def test_maps_of_images_with_one_name_are_not_written_over_each_other(
    model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = tmp_path / "scan.nii.gz"
    twin.write_bytes(image.read_bytes())
    assert cli.main(["check", str(image), str(twin), "-m", str(model), "--map", str(tmp_path / "maps")]) == 2
    assert "same name" in capsys.readouterr().err
    assert not (tmp_path / "maps").exists()


def test_a_model_without_memories_refuses_a_map(
    model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(image), "-m", str(model), "--map", str(tmp_path)]) == 4
    assert "cannot tell where an image is foreign" in capsys.readouterr().err


def test_a_released_model_is_found_by_its_name_and_its_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, planar in (("mr3d", False), ("planar2d", True), ("mr3d.mts.safetensors", False)):
        assert cli.main(["info", name]) == 0
        assert capsys.readouterr().out.endswith(f"file: {released_model(planar)}\n")
    assert cli.main(["info", "mr3d", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(released_model(planar=False))
    assert named_model("mine.mts.safetensors") == Path("mine.mts.safetensors")
    (tmp_path / "mr3d").write_text("a file of that name comes first")
    assert named_model("mr3d") == Path("mr3d")


def test_check_expands_a_pattern_itself(model: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = str(image.with_name("*" + image.name[1:]))
    assert cli.main(["check", pattern, "-m", str(model), "--json"]) == 0
    assert str(image) in [entry["image"] for entry in json.loads(capsys.readouterr().out)]


def test_names_that_differ_in_case_alone_do_not_share_a_map(
    model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ending = "".join(image.suffixes)
    names = [str(tmp_path / folder / f"{stem}{ending}") for folder, stem in (("1", "Scan"), ("2", "scan"))]
    assert cli.main(["check", *names, "-m", str(model), "--map", str(tmp_path / "maps")]) == 2
    assert "same name" in capsys.readouterr().err


def test_output_in_code_page_1252_ends_no_run(model: Path, image: Path, tmp_path: Path) -> None:
    odd = tmp_path / f"Łódź 脑{''.join(image.suffixes)}"
    odd.write_bytes(image.read_bytes())
    command = [sys.executable, "-m", "MultiTaskSegLib.runtime.cli", "check", str(odd), "-m", str(model)]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert b"\\u8111" in done.stdout


def test_a_thorough_check_adds_its_figures_and_changes_nothing_else(
    model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = []
    for number, more in enumerate([(), ("--thorough",)]):
        output = tmp_path / str(number)
        words = ["segment", str(image), "-m", str(model), "-o", str(output), "--task", "Dataset001_Balls", *more]
        assert cli.main([*words, "--json"]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    plain, thorough = reports
    assert plain.pop("thorough") is None
    told = thorough.pop("thorough")
    assert (told["looks"], 0 <= told["agreement"] <= 1, told["answer"] in USABILITIES) == (2, True, True)
    found = [row["agreement"] for row in thorough["labels"] if row["agreement"] is not None]
    assert told["agreement"] == pytest.approx(sum(found) / len(found))
    for report in reports:
        for row in report["labels"]:
            del row["agreement"]
        del report["timings"]
    assert {name: digest for name, digest in plain.pop("sha256").items() if name != "report.json"} == {
        name: digest for name, digest in thorough.pop("sha256").items() if name != "report.json"
    }
    assert plain == thorough
