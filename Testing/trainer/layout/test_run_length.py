"""Run lengths in a table become masks; the pneumothorax challenge's many empty ones included."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError, InputError
from Testing.trainer.layout.written import noise, write_picture
from trainer.data.dataset import read_dataset
from trainer.layout.run_length import decode_runs
from trainer.verification.verify import verify_datasets

SHAPE = (7, 5)


def runs_of(mask: np.ndarray, relative: bool) -> str:
    """Pixel by pixel down the columns: an encoder that shares nothing with the decoder."""
    words: list[int] = []
    end, length, start = 0, 0, 0
    pixels = [mask[y, x] for x in range(mask.shape[1]) for y in range(mask.shape[0])]
    for place, value in enumerate([*pixels, 0]):
        if value and not length:
            start = place
        if value:
            length += 1
        elif length:
            words += [start - end if relative else start + 1, length]
            end, length = start + length, 0
    return " ".join(map(str, words))


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_encoded_is_decoded(seed: int, relative: bool):
    mask = (noise(seed, SHAPE) > 150).astype(np.int32)
    assert (decode_runs(runs_of(mask, relative), SHAPE, relative) == mask).all()


@pytest.mark.parametrize("text", ["1", "1 x", "-1 3", "30 9", "1 99999999999999999999"])
def test_runs_that_are_no_runs_are_refused(text: str):
    with pytest.raises(InputError):
        decode_runs(text, SHAPE, relative=True)


def siim(folder: Path, header: str = "ImageId, EncodedPixels") -> tuple[Path, np.ndarray]:
    """Three images: two rows, -1, and one empty field; the images two folders down, as downloaded."""
    masks = np.zeros((2, *SHAPE), dtype=np.int32)
    masks[0, 1:3, 0] = 1
    masks[1, 4:6, 3] = 1
    rows = [f"a.1,{runs_of(masks[0], True)}", "b,-1", "c,", f"a.1,{runs_of(masks[1], True)}"]
    for index, name in enumerate(("a.1", "b", "c")):
        write_picture(folder / "study" / name / f"{name}.png", noise(index, SHAPE))
    (folder / "train-rle.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder, masks.max(axis=0)


@pytest.mark.parametrize("header", ["ImageId, EncodedPixels", "ImageId,EncodedPixels"])
def test_rows_of_one_image_are_united_and_empty_ones_stay(tmp_path: Path, header: str):
    folder, mask = siim(tmp_path / "siim", header)
    dataset = read_dataset(folder)
    assert [case.name for case in dataset.cases] == ["a.1", "b", "c"]
    assert dataset.labels == {1: "foreground"}
    assert (dataset.cases[0].read_labels()[0] == mask[None]).all()
    assert not dataset.cases[1].read_labels()[0].any()
    assert not dataset.cases[2].read_labels()[0].any()
    assert verify_datasets([folder]) == []


def test_dataset_json_says_that_runs_count_from_the_start_and_names_the_label(tmp_path: Path):
    folder, mask = siim(tmp_path / "ships")
    rows = ["ImageId,EncodedPixels", f"a.1.png,{runs_of(mask, False)}", "b.png,", "c.png,"]
    (folder / "train-rle.csv").write_text("\n".join(rows))
    (folder / "dataset.json").write_text('{"run_length": "absolute", "label": "ship", "modality": "X-ray"}')
    dataset = read_dataset(folder)
    assert (dataset.cases[0].read_labels()[0] == mask[None]).all()
    assert (dataset.labels, dataset.channel_families) == ({1: "ship"}, ("X-ray",))


def test_a_changed_table_is_read_again(tmp_path: Path):
    folder, _ = siim(tmp_path / "siim")
    before = len(read_dataset(folder).cases)
    table = folder / "train-rle.csv"
    table.write_text("ImageId,EncodedPixels\nb,-1\n")
    assert (before, len(read_dataset(folder).cases)) == (3, 1)


def test_a_table_that_was_changed_without_a_trace_in_size_and_time_is_read_again(tmp_path: Path):
    write_picture(tmp_path / "a.png", noise(1, (8, 8)))
    table = tmp_path / "train.csv"
    table.write_text("ImageId,EncodedPixels\na,1 2\n")
    (case,) = read_dataset(tmp_path).cases
    assert case.read_labels()[0].sum() == 2
    state = table.stat()
    table.write_text("ImageId,EncodedPixels\na,1 3\n")
    os.utime(table, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert case.read_labels()[0].sum() == 3


def test_an_image_that_only_the_table_knows_is_refused(tmp_path: Path):
    folder, _ = siim(tmp_path / "siim")
    (folder / "study" / "b" / "b.png").unlink()
    with pytest.raises(DatasetError, match="1 images of the table are missing"):
        read_dataset(folder)


def test_verify_names_the_image_whose_run_leaves_it(tmp_path: Path):
    folder, _ = siim(tmp_path / "siim")
    (folder / "train-rle.csv").write_text("ImageId,EncodedPixels\na.1,30 9\nb,-1\nc,-1\n")
    assert [(d.case, d.what) for d in verify_datasets([folder]) if not d.is_warning] == [
        ("a.1", "a run leaves the image")
    ]
