"""How images are prepared has a number, which everything kept on disk carries: who changes one raises the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from trainer.data import case_cache
from trainer.data.prepared_label import PREPARED_BY, read_prepared
from trainer.identity.file_content import FileContents
from trainer.layout.case import Case
from trainer.ood import feature_store
from trainer.uncertainty import case_store

PERCENTILE, HOUNSFIELD = Intensity("percentile", 1.0, 99.5), Intensity("range", -100.0, 200.0)
PROFILES = {
    "finer": Profile("p", "spacing", PERCENTILE, spacing_zyx_mm=(1.5, 0.8, 0.8)),
    "coarser": Profile("p", "spacing", HOUNSFIELD, spacing_zyx_mm=(5.0, 2.3, 2.1)),
    "picture": Profile("p", "fit", PERCENTILE, matrix=24),
}
# By profile: shape, mean of the voxels, mean position (z, y, x) weighted by them, and labelled voxels.
Made = tuple[tuple[int, ...], float, list[float], int]
MADE: dict[str, Made] = {
    "finer": ((16, 32, 31), 0.48757, [6.78537, 15.5, 14.96288], 2184),
    "coarser": ((5, 11, 12), 0.24708, [1.65919, 5.0, 5.43278], 84),
    "picture": ((1, 20, 24), 0.66882, [0.0, 9.5, 11.53363], 140),
}


def drawn(planar: bool) -> tuple[np.ndarray, np.ndarray]:
    """A smooth blob off the middle, with air around, and its core; the same on every machine."""
    z, y, x = np.indices((1, 30, 40) if planar else (9, 30, 40))
    distance = ((z - (0 if planar else 3)) / 4.0) ** 2 + ((y - 12) / 9.0) ** 2 + ((x - 22) / 11.0) ** 2
    voxels = np.where(distance < 1.3, 400 * np.exp(-distance) - 150 + x, -1000.0)
    return voxels.astype(np.int16), (distance < 0.5).astype(np.uint8)


def made(folder: Path, name: str) -> Made:
    planar = name == "picture"
    for array, part in zip(drawn(planar), ("image", "label"), strict=True):
        image = sitk.GetImageFromArray(array[0] if planar else array)
        if not planar:
            image.SetSpacing((1.0, 1.2, 3.0))
            # Stored from left to right, oblique: turned before anything else.
            image.SetDirection((-1, 0, 0, 0, np.cos(0.2), -np.sin(0.2), 0, np.sin(0.2), np.cos(0.2)))
        sitk.WriteImage(image, str(folder / f"{part}.nii.gz"))
    case = Case("c", folder / "image.nii.gz", folder / "label.nii.gz", "g")
    prepared, labels = read_prepared(case, PROFILES[name], (1,), lambda stored: stored.astype(np.uint8))
    voxels = prepared.voxels.astype(np.float64)
    centre = [float((axis * voxels).sum() / voxels.sum()) for axis in np.indices(voxels.shape)]
    return voxels.shape, float(voxels.mean()), centre, int(labels.sum())


@pytest.mark.parametrize("name", PROFILES)
def test_whoever_changes_how_images_are_prepared_raises_the_number(tmp_path: Path, name: str) -> None:
    shape, mean, centre, labelled = made(tmp_path, name)
    expected = MADE[name]
    message = "images are prepared otherwise than before: raise PREPARED_BY and correct MADE"
    assert (PREPARED_BY, shape, labelled) == (5, expected[0], expected[3]), message
    assert (mean, *centre) == pytest.approx((expected[1], *expected[2]), abs=2e-3), message


def of_case_cache(case: Case) -> str:
    task = SimpleNamespace(profile=PROFILES["finer"], label_values=((1,),), are_regions=False)
    return case_cache._fingerprint(task, case, FileContents())  # type: ignore[arg-type]


def of_feature_store(case: Case) -> str:
    store = object.__new__(feature_store.FeatureStore)
    store._tasks, store._contents = [], FileContents()
    return store._name(SimpleNamespace(cases=(case,), key="known"))  # type: ignore[arg-type]


def of_case_store(case: Case) -> str:
    task = SimpleNamespace(name="A", labels=(), profile=PROFILES["finer"], channel_start=0, single_component=False)
    store = case_store.CaseStore(case.image.parent, {"A": {}})
    estimator = SimpleNamespace(name="e", settings={})
    return store._path(Path(), estimator, case, task, "map").name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "module, name", [(case_cache, of_case_cache), (feature_store, of_feature_store), (case_store, of_case_store)]
)
def test_everything_that_is_kept_of_prepared_images_belongs_to_the_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: Callable[[Case], str]
) -> None:
    (tmp_path / "i.nii.gz").write_bytes(b"i")
    case = Case("c", tmp_path / "i.nii.gz", None, "g")
    before = name(case)
    monkeypatch.setattr(module, "PREPARED_BY", PREPARED_BY + 1)
    assert name(case) != before
