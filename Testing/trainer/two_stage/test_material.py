"""Images without labels are seen as the target's network sees its own, and only labelled cases decide how."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.profile import Intensity
from Testing.trainer.synthetic_dataset import BallDataset
from Testing.trainer.two_stage.discs import SETTINGS
from trainer.data.image_source import without_labels
from trainer.layout.case import Case
from trainer.two_stage.division import Division
from trainer.two_stage.material import Material
from trainer.two_stage.matrix import make_cells, prepare_cells

SHAPE = (1, 16, 16)
CT = BallDataset("Dataset021_Scans", shape=SHAPE, patients=12, modality="CT", offset=-200.0, contrast=300.0)
SAME_SCALE = BallDataset("Dataset022_Others", shape=SHAPE, patients=3, offset=-300.0, contrast=420.0)
PICTURES = BallDataset("Dataset023_Pictures", shape=SHAPE, patients=3, offset=150.0, contrast=80.0)


def material_of(folder: Path, others: tuple[Path, ...], cache: Path) -> tuple[Material, Division]:
    (cell,) = make_cells(folder, others, (4,), (0,), SETTINGS)
    return prepare_cells([cell], SETTINGS, cache, None)[0], cell.division


def brightened(case: Case) -> None:
    assert case.image is not None
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(case.image)))
    sitk.WriteImage(sitk.GetImageFromArray((voxels + 60).astype(np.int16)), str(case.image))


def test_other_images_keep_the_scale_of_a_ct_where_they_are_on_it_and_get_their_own_where_not(tmp_path: Path) -> None:
    others = (SAME_SCALE.write(tmp_path), PICTURES.write(tmp_path))
    material, _ = material_of(CT.write(tmp_path), others, tmp_path / "cache")
    own, same, other = (task.profile for task in material.pool.tasks)
    assert own.intensity.method == "range"
    assert same == own
    assert other.intensity == Intensity("percentile", 1.0, 99.5)
    assert replace(other, name=own.name, intensity=own.intensity) == own
    assert all(task.label_names == () and task.dataset == without_labels(task.dataset) for task in material.pool.tasks)


def content(folder: Path, other: Path) -> list[str]:
    (cell,) = make_cells(folder, (other,), (4,), (0,), SETTINGS)
    found: list[str] = cell.parameters["content"]
    return found


def inverted(path: Path) -> None:
    """Exchange label and background, or dark and bright, without a trace in name, size and time."""
    state, image = path.stat(), sitk.ReadImage(str(path))
    highest = float(sitk.GetArrayViewFromImage(image).max())
    sitk.WriteImage(sitk.InvertIntensity(image, highest), str(path))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("part", ["labelled", "validation", "test", "unlabelled"])
def test_runs_on_other_images_or_labels_are_other_runs_but_for_labels_that_nobody_sees(
    tmp_path: Path, part: str
) -> None:
    folder, other = CT.write(tmp_path), SAME_SCALE.write(tmp_path)
    (cell,) = make_cells(folder, (other,), (4,), (0,), SETTINGS)
    before, case = content(folder, other), getattr(cell.division, part)[0]
    inverted(case.label)
    assert (content(folder, other) == before) is (part == "unlabelled")
    labels = content(folder, other)
    inverted(case.image)
    images = content(folder, other)
    assert images[0] != labels[0]
    inverted(other / "labelsTr" / "case_00.nii.gz")
    assert content(folder, other) == images
    inverted(other / "imagesTr" / "case_00_0000.nii.gz")
    assert content(folder, other)[1] != images[1]


def test_the_range_of_intensities_is_that_of_the_labelled_cases_alone(tmp_path: Path) -> None:
    folder = CT.write(tmp_path)
    others = (SAME_SCALE.write(tmp_path),)
    before, division = material_of(folder, others, tmp_path / "one")
    for case in (*division.validation, *division.test, *division.unlabelled):
        brightened(case)
    after, _ = material_of(folder, others, tmp_path / "two")
    assert after.data.plan.tasks[0].profile == before.data.plan.tasks[0].profile
    brightened(division.labelled[0])
    changed, _ = material_of(folder, others, tmp_path / "three")
    assert changed.data.plan.tasks[0].profile != before.data.plan.tasks[0].profile
