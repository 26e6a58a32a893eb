"""Label maps: the brain with its furrows, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import DatasetError
from Testing.trainer.synthesis.head_folder import NUMBERS, head_array, write_heads
from trainer import cli
from trainer.data.dataset import read_dataset
from trainer.synthesis.label_map import ENVELOPE_MM, envelope, read_map, stamp_of


def moved_or(mask: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Everything that the mask covers when it is moved by any of the steps."""
    moved: np.ndarray = np.logical_or.reduce([np.roll(mask, step, (0, 1, 2)) for step in steps])
    return moved


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.5)])
def test_the_envelope_is_the_closing_of_the_brain_by_a_ball(spacing: tuple[float, float, float]) -> None:
    brain = np.random.default_rng(0).random((8, 9, 10)) < 0.06
    padded = np.pad(brain, 10)
    # In so many words: what a ball cannot reach that touches no voxel of the brain.
    reach = np.indices((19, 19, 19)).reshape(3, -1).T - 9
    ball = reach[np.linalg.norm(reach * np.array(spacing), axis=1) <= ENVELOPE_MM]
    grown = moved_or(padded, ball)
    closed = ~moved_or(~grown, ball)[10:-10, 10:-10, 10:-10]
    assert brain.sum() < closed.sum() < closed.size
    np.testing.assert_array_equal(envelope(brain, spacing) == 1, closed)


def test_a_furrow_is_filled_and_a_wide_gap_is_not() -> None:
    brain = np.ones((30, 40, 30), dtype=bool)
    brain[15:, 5:9] = brain[15:, 20:36] = False
    filled = envelope(brain, (1.0, 1.0, 1.0))
    assert filled[17:26, 5:9, 5:25].all()
    assert not filled[22:, 24:32, 5:25].any()


def test_turned_maps_are_the_same_head(tmp_path: Path) -> None:
    folder = write_heads(tmp_path, 1)
    path, turned = folder / "head_0.nii.gz", folder / "turned.nii.gz"
    sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "SAR"), str(turned))
    first, second = (read_map(p, NUMBERS, stamp_of(p)) for p in (path, turned))
    np.testing.assert_array_equal(first.codes, second.codes)
    assert first.centre_zyx_mm == second.centre_zyx_mm


def test_a_map_that_changes_is_read_again(tmp_path: Path) -> None:
    path = write_heads(tmp_path, 1) / "head_0.nii.gz"
    before = read_map(path, NUMBERS, stamp_of(path)).codes
    image = sitk.GetImageFromArray(head_array(9))
    path.unlink()
    sitk.WriteImage(image, str(path))
    assert not np.array_equal(read_map(path, NUMBERS, stamp_of(path)).codes, before)


@pytest.mark.parametrize(("value", "word"), [(len(NUMBERS), "does not name"), (7, "no brain")])
def test_maps_with_other_values_or_without_a_brain_are_refused(tmp_path: Path, value: int, word: str) -> None:
    path = write_heads(tmp_path, 1) / "head_0.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((4, 4, 4), value, dtype=np.uint8)), str(path))
    with pytest.raises(DatasetError, match=word):
        read_map(path, NUMBERS, stamp_of(path))


def test_a_folder_of_maps_is_a_dataset_of_each_target(tmp_path: Path) -> None:
    own = {"white": {"left": [2], "right": [41]}}
    folder = write_heads(tmp_path, 2, targets=own)
    brain, white = (read_dataset(Path(f"{folder}::{word}")) for word in ("brain", "white"))
    assert (brain.name, brain.labels, brain.channel_families, brain.region) == (
        "heads_brain",
        {1: "brain"},
        ("MR",),
        "head",
    )
    assert white.labels == {1: "left", 2: "right"}
    assert brain.groups == ["head_0", "head_1"]
    assert [case.group for case in brain.cases[:2]] == ["head_0", "head_1"]  # the first ones show different heads
    assert (brain.info["licence"], brain.info["released_weights_may_use"]) == ("CC0-1.0", True)
    assert len(read_dataset(Path(f"{folder}::tissues")).labels) == 7
    assert len(read_dataset(Path(f"{folder}::structures")).labels) == 17


@pytest.mark.parametrize(
    ("change", "word", "told"),
    [
        ({}, "", "what is to be learnt"),
        ({}, "hearts", "'hearts' is no target"),
        ({"targets": {"t": {"a": []}}}, "t", "malformed"),
        ({"targets": {"t": {"a": ["2"]}}}, "t", "malformed"),
        ({"targets": {"t": {"a": "envelope", "b": [2]}}}, "t", "beside other labels"),
        ({"targets": {"t": {"a": [2, 117], "b": [41]}}}, "t", "117 of the target 't' are not known"),
        ({"targets": {"t": {"a": [2, 3], "b": [41, 2]}}}, "t", "2 of the target 't' belong to two labels"),
        ({"labels": "none"}, "brain", "no list"),
        ({"labels": [{"value": 0}]}, "brain", "'freesurfer'"),
        ({"labels": [{"value": 1, "freesurfer": 0}, {"value": 2, "freesurfer": 2}]}, "brain", "Renumber"),
        ({"labels": [{"value": 0, "freesurfer": 0}, {"value": 1, "freesurfer": 999}]}, "brain", "999"),
    ],
)
def test_tables_that_say_nothing_or_nonsense_are_refused(
    tmp_path: Path, change: dict[str, object], word: str, told: str
) -> None:
    folder = write_heads(tmp_path, 1, **change)
    with pytest.raises(DatasetError, match=told):
        read_dataset(Path(f"{folder}::{word}" if word else folder))


def test_a_damaged_table_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    folder = write_heads(tmp_path, 0)
    with pytest.raises(DatasetError, match="no label map"):
        read_dataset(Path(f"{folder}::brain"))
    (folder / "labels.json").write_text("{", encoding="utf-8")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_dataset(Path(f"{folder}::brain"))


def test_verify_names_the_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_heads(tmp_path, 1)
    assert cli.main(["verify", str(folder)]) == 4
    said = "".join(capsys.readouterr())
    assert "heads::brain" in said
    assert json.loads((folder / "labels.json").read_text(encoding="utf-8"))["labels"][0]["value"] == 0
