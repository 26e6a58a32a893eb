"""Datasets that cannot be those that an imported model was trained on become no reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from Testing.runtime.imported.imported_models import results_folder
from Testing.runtime.nnunet.checkpoint_bytes import PLANS
from trainer import cli

SHAPE, CASES = (16, 16, 16), 6
KNOWN: dict[str, Any] = {**PLANS, "original_median_spacing_after_transp": [3.0, 1.0, 1.0]}


def written_dataset(folder: Path, spacing_xyz_mm: tuple[float, float, float], channels: tuple[str, ...]) -> Path:
    """Images of noise."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for case in range(CASES):
        for number in range(len(channels)):
            image = sitk.GetImageFromArray(rng.normal(100, 10, SHAPE).astype(np.float32))
            image.SetSpacing(spacing_xyz_mm)
            sitk.WriteImage(image, folder / "imagesTr" / f"a{case}_{number:04}.nii.gz")
        label = sitk.Cast(image > 110, sitk.sitkUInt8)
        sitk.WriteImage(label, folder / "labelsTr" / f"a{case}.nii.gz")
    facts = {"labels": {"background": 0, "left": 1, "right": 2}, "numTraining": CASES, "file_ending": ".nii.gz"}
    named = {"channel_names": {str(number): name for number, name in enumerate(channels)}}
    (folder / "dataset.json").write_text(json.dumps(facts | named))
    return folder


def imported_with(dataset: Path, tmp_path: Path, plans: dict[str, Any] = KNOWN) -> tuple[int, Path]:
    folder, output = results_folder(tmp_path / "results", plans=plans), tmp_path / "model.mts.safetensors"
    words = ["import-nnunet", str(folder), "-o", str(output), "--licence", "CC0", "--reference", str(dataset)]
    return cli.main(words), output


def test_a_dataset_of_another_spacing_is_refused_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = written_dataset(tmp_path / "Dataset900_Tiny", (1.0, 1.0, 1.5), ("T1",))
    code, _ = imported_with(dataset, tmp_path)
    assert code == 4
    told = capsys.readouterr().err
    assert "1 x 1 x 1.5 mm in the median, those of the training of 1 x 1 x 3 mm" in told
    assert "Dataset900_Tiny" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Dataset900_Tiny", "results"]
    assert len(told.strip().splitlines()) == 1


def test_a_spacing_that_is_a_little_different_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = written_dataset(tmp_path / "Dataset900_Tiny", (1.0, 1.0, 2.5), ("T1",))
    code, output = imported_with(dataset, tmp_path)
    assert code == 0
    assert "is it the dataset of the training?" in capsys.readouterr().err
    manifest = load_imported(output).manifest
    assert manifest.training["image_spacing_mm"] == [3.0, 1.0, 1.0]


def test_the_spacing_of_the_training_is_met_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = written_dataset(tmp_path / "Dataset900_Tiny", (1.0, 1.0, 3.0), ("T1",))
    assert imported_with(dataset, tmp_path)[0] == 0
    assert "of the training?" not in capsys.readouterr().err


def test_plans_that_do_not_tell_the_spacing_of_images_refuse_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = written_dataset(tmp_path / "Dataset900_Tiny", (1.0, 1.0, 0.5), ("T1",))
    assert imported_with(dataset, tmp_path, PLANS)[0] == 0
    assert "is it the dataset of the training?" in capsys.readouterr().err


def test_axes_are_compared_in_the_order_of_the_network(tmp_path: Path) -> None:
    turned = {**KNOWN, "transpose_forward": [2, 0, 1], "transpose_backward": [1, 2, 0]}
    dataset = written_dataset(tmp_path / "Dataset900_Tiny", (3.0, 1.0, 1.0), ("T1",))
    assert imported_with(dataset, tmp_path, turned)[0] == 0


@pytest.mark.parametrize("channels", [("T1", "FLAIR")])
def test_a_dataset_of_other_channels_is_refused_before_any_image_is_looked_at(
    channels: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = written_dataset(tmp_path / "Dataset900_Tiny", (1.0, 1.0, 3.0), channels)
    code, output = imported_with(dataset, tmp_path)
    assert code == 4
    assert "channels T1, FLAIR, the model takes T1" in capsys.readouterr().err
    assert not output.exists()


def test_plans_with_a_spacing_that_is_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = written_dataset(tmp_path / "Dataset900_Tiny", (1.0, 1.0, 3.0), ("T1",))
    wrong = {**KNOWN, "original_median_spacing_after_transp": [1.0, 1e9, 1.0]}
    code, output = imported_with(dataset, tmp_path, wrong)
    assert code == 4
    assert "original_median_spacing_after_transp" in capsys.readouterr().err
    assert not output.exists()
