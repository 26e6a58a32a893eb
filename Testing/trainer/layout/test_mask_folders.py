"""Images and masks in two folders, most masks empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from Testing.trainer.layout.written import noise, write_picture
from trainer.data.dataset import read_dataset
from trainer.verification.verify import verify_datasets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(4):
        write_picture(tmp_path / "p" / "images" / f"x{index}.png", noise(index, (6, 8, 3)))
        mask = np.zeros((6, 8))
        mask[2:4, 3:6] = 255 * (index == 0)
        write_picture(tmp_path / "p" / "masks" / f"x{index}{'_mask' * (index % 2)}.png", mask)
    return tmp_path / "p"


def test_255_is_one_label_and_empty_masks_stay_empty(folder: Path):
    dataset = read_dataset(folder)
    assert dataset.labels == {1: "foreground"}
    assert [int(case.read_labels()[0].sum()) for case in dataset.cases] == [6, 0, 0, 0]
    assert dataset.cases[0].read_image().shape == (1, 6, 8)
    assert verify_datasets([folder]) == []


def test_an_image_without_mask_is_refused_by_name(folder: Path):
    (folder / "masks" / "x2.png").unlink()
    with pytest.raises(DatasetError, match=r"the image has no mask: .*x2\.png"):
        read_dataset(folder)
    assert [defect.what for defect in verify_datasets([folder])] == ["the image has no mask"]


def test_with_labels_in_dataset_json_the_values_count(folder: Path):
    (folder / "dataset.json").write_text('{"labels": {"background": 0, "nodule": 255}}')
    dataset = read_dataset(folder)
    assert dataset.labels == {255: "nodule"}
    assert set(np.unique(dataset.cases[0].read_labels()[0])) == {0, 255}
