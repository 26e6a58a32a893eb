"""Pictures in class folders are read as they are; the label map holds the class everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from Testing.trainer.layout.written import noise, write_picture
from trainer.data.dataset import read_dataset, require_masks
from trainer.layout.image_level import image_class
from trainer.verification.verify import verify_datasets


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for number, name in enumerate(("zebra", "apple")):
        for index in range(3):
            write_picture(tmp_path / "photos" / name / f"n{index}.png", noise(10 * number + index, (6, 8, 3)))
    return tmp_path / "photos"


def test_classes_are_the_sub_folders_in_order_and_fill_the_label_map(photographs: Path):
    dataset = read_dataset(photographs)
    assert dataset.labels == {1: "apple", 2: "zebra"}
    assert not dataset.has_masks
    assert [(c.name, image_class(c)) for c in dataset.cases[2:4]] == [("apple__n2", 1), ("zebra__n0", 2)]
    labels, _ = dataset.cases[3].read_labels()
    assert labels.shape == dataset.cases[3].read_image().shape == (1, 6, 8)
    assert (labels == 2).all()


def test_a_colour_picture_becomes_its_luma(tmp_path: Path):
    pixels = noise(1, (5, 4, 3))
    for name in ("a", "b"):
        for index in range(2):
            write_picture(tmp_path / "p" / name / f"{index}.png", pixels)
    grey = read_dataset(tmp_path / "p").cases[0].read_image().voxels[0]
    red, green, blue = (pixels[..., c].astype(np.float64) for c in range(3))
    assert np.allclose(grey, 0.299 * red + 0.587 * green + 0.114 * blue, atol=1e-3)


def test_training_and_validation_folders_are_the_two_splits(photographs: Path, tmp_path: Path):
    root = tmp_path / "set"
    root.mkdir()
    photographs.rename(root / "train")
    for name in ("apple", "zebra"):
        for index in range(2):
            write_picture(root / "val" / name / f"v{index}.png", noise(index, (6, 8)))
    assert len(read_dataset(root).cases) == 6
    assert [case.name for case in read_dataset(root, "imagesTs").cases][:1] == ["apple__v0"]


def test_a_class_with_one_image_is_refused_by_name(photographs: Path):
    write_picture(photographs / "lonely" / "only.png", noise(3, (6, 8)))
    with pytest.raises(DatasetError, match="class lonely has 1 image:"):
        read_dataset(photographs)


def test_one_class_is_not_enough(tmp_path: Path):
    for index in range(3):
        write_picture(tmp_path / "p" / "a" / f"{index}.png", noise(index, (6, 8)))
    with pytest.raises(DatasetError, match="1 classes"):
        read_dataset(tmp_path / "p")


def test_classes_cannot_train_a_segmentation(photographs: Path):
    with pytest.raises(DatasetError, match="no masks"):
        require_masks(read_dataset(photographs))


def test_verify_finds_nothing_in_good_class_folders_and_the_broken_picture_in_bad_ones(photographs: Path):
    assert verify_datasets([photographs]) == []
    broken = photographs / "zebra" / "n1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    defects = verify_datasets([photographs])
    assert {Path(defect.file).name for defect in defects} == {"n1.png"}
    assert not defects[0].is_warning
