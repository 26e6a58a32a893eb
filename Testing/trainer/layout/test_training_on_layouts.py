"""Every layout with masks trains a model as it is, empty masks included."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.layout.written import noise, write_picture, write_scan
from Testing.trainer.pretraining.tiny_run import CONFIG
from trainer.data.dataset import read_dataset
from trainer.training.train_model import train_model
from trainer.training.training import Budget

SIZE = 16


def disc(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy picture with a bright disc, but for every third nothing."""
    y, x = np.indices((SIZE, SIZE))
    mask = ((y - 8) ** 2 + (x - 6 - number % 4) ** 2 < 16) & (number % 3 > 0)
    return (noise(number, (SIZE, SIZE), 60) + 150 * mask).astype(np.uint8), mask.astype(np.uint8)


def runs_csv(folder: Path) -> Path:
    rows = ["ImageId,EncodedPixels"]
    for number in range(9):
        picture, mask = disc(number)
        write_picture(folder / "images" / f"p{number}.png", picture)
        flat = mask.T.ravel().astype(int)
        starts = np.flatnonzero(np.diff(np.r_[0, flat]) == 1)
        ends = np.flatnonzero(np.diff(np.r_[flat, 0]) == -1) + 1
        gaps = starts - np.r_[0, ends[:-1]] if len(starts) else starts
        words = [str(n) for pair in zip(gaps, ends - starts, strict=True) for n in pair]
        rows.append(f"p{number},{' '.join(words) or '-1'}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    return folder


def mask_folders(folder: Path) -> Path:
    for number in range(9):
        picture, mask = disc(number)
        write_picture(folder / "images" / f"p{number}.png", picture)
        write_picture(folder / "masks" / f"p{number}.png", 255 * mask)
    return folder


def wmh(folder: Path) -> Path:
    for number in range(9):
        picture, mask = disc(number)
        write_scan(folder / "Utrecht" / str(number) / "pre" / "FLAIR.nii.gz", np.stack([picture] * 4))
        write_scan(folder / "Utrecht" / str(number) / "wmh.nii.gz", np.stack([mask] * 4))
    return folder


@pytest.mark.parametrize(
    "write, view",
    [(runs_csv, ""), (mask_folders, ""), (wmh, ""), (wmh, "::axial")],
    ids=["rle", "png", "3-D", "slices"],
)
def test_a_model_is_trained_and_segments(tmp_path: Path, write: Callable[[Path], Path], view: str):
    folder = Path(f"{write(tmp_path / 'data')}{view}")
    output = tmp_path / "m.mts.safetensors"
    manifest = train_model([folder], output, CONFIG, Budget(steps=2), stream=io.StringIO())
    dataset = read_dataset(folder)
    assert manifest.tasks[0].name == dataset.name
    assert manifest.tasks[0].training_cases + manifest.tasks[0].held_out_cases == len(dataset.cases)
    case = dataset.cases[0]
    result = Predictor.load(output).segment(case.read_image())
    assert result.labels.shape == case.read_labels()[0].shape


def test_the_masks_of_all_layouts_are_the_same(tmp_path: Path):
    first, second = (read_dataset(write(tmp_path / write.__name__)) for write in (runs_csv, mask_folders))
    for number, (a, b) in enumerate(zip(first.cases, second.cases, strict=True)):
        assert np.array_equal(a.read_labels()[0], b.read_labels()[0])
        assert np.array_equal(a.read_labels()[0][0], disc(number)[1])


def test_class_folders_are_refused_for_segmentation_before_anything_is_written(tmp_path: Path):
    for number in range(4):
        write_picture(tmp_path / "p" / "ab"[number % 2] / f"{number}.png", noise(number, (8, 8)))
    with pytest.raises(DatasetError, match="no masks"):
        train_model([tmp_path / "p"], tmp_path / "out" / "m.mts.safetensors", CONFIG, Budget(steps=1))
    assert not (tmp_path / "out").exists()
