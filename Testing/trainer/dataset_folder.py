"""A small labelled dataset in nnU-Net v2 raw layout, right in every respect until a test spoils it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

CASES = ("case_01", "case_02", "case_03")
SHAPE = (6, 8, 10)


def write_grid(path: Path, array: np.ndarray, spacing_mm: tuple[float, ...] = (1.0, 1.5, 2.0)) -> Path:
    """Write ``(Z, Y, X)`` voxels on an oblique grid, or ``(Y, X)`` pixels as a picture."""
    image = sitk.GetImageFromArray(array)
    if array.ndim == 3:
        angle = 0.3
        image.SetDirection([np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1])
        image.SetSpacing(spacing_mm)
        image.SetOrigin((-20.0, 31.0, 7.0))
    sitk.WriteImage(image, str(path))
    return path


def image_path(folder: Path, case: str, ending: str = ".nii.gz") -> Path:
    """Where the image of a case lies."""
    return folder / "imagesTr" / f"{case}_0000{ending}"


def label_path(folder: Path, case: str, ending: str = ".nii.gz") -> Path:
    """Where the label map of a case lies."""
    return folder / "labelsTr" / f"{case}{ending}"


def write_dataset(folder: Path, ending: str = ".nii.gz", **description: Any) -> Path:
    """Write three cases with labels 1 and 2, ``dataset.json`` and ``cases.csv``.

    Args:
        folder: made when absent.
        ending: ``.nii.gz`` for volumes, ``.png`` for pictures.
        description: keys that replace those of ``dataset.json``; None leaves a key out.
    """
    rng = np.random.default_rng(sum(folder.name.encode()))
    for sub_folder in ("imagesTr", "labelsTr"):
        (folder / sub_folder).mkdir(parents=True)
    shape = SHAPE if ending == ".nii.gz" else SHAPE[1:]
    for case in CASES:
        write_grid(image_path(folder, case, ending), rng.integers(0, 255, shape).astype(np.uint8))
        write_grid(label_path(folder, case, ending), rng.integers(0, 3, shape).astype(np.uint8))
    info = {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, "front": 1, "back": 2},
        "numTraining": len(CASES),
        "file_ending": ending,
        "licence": "CC0-1.0",
        "reference": "Nobody: made by code",
        "released_weights_may_use": True,
    }
    kept = {key: value for key, value in {**info, **description}.items() if value is not None}
    (folder / "dataset.json").write_text(json.dumps(kept), encoding="utf-8")
    rows = "".join(f"{case},patient_{case[-1]}\n" for case in CASES)
    (folder / "cases.csv").write_text("case,group\n" + rows, encoding="utf-8")
    return folder
