"""Datasets of a few small images with a bright ball, in nnU-Net v2 raw and MSD layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk


@dataclass(frozen=True)
class BallDataset:
    """What to write.

    Attributes:
        name: folder name.
        spacing_xyz_mm: voxel size.
        shape: ``(Z, Y, X)``; one slice makes 2-D pictures.
        patients: number of cases; one per patient.
        modality: channel name.
        region: key ``anatomy``; left out when empty.
        offset, contrast: value of the surroundings, and how much brighter the ball is.
        label_values: the ball has the first; a small core the second.
        person: what the names of the patients begin with: equal names are the same patients.
    """

    name: str
    spacing_xyz_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shape: tuple[int, int, int] = (10, 16, 16)
    patients: int = 6
    modality: str = "T1"
    region: str = "head"
    offset: float = 100.0
    contrast: float = 200.0
    label_values: tuple[int, ...] = (1,)
    person: str = "patient"

    def write(self, parent: Path) -> Path:
        """Write the dataset as nnU-Net v2 raw and return its folder."""
        folder = parent / self.name
        for part in ("imagesTr", "labelsTr"):
            (folder / part).mkdir(parents=True)
        rows = ["case,group"]
        for number in range(self.patients):
            voxels, labels = self.case(number)
            case = f"case_{number:02d}"
            self._save(voxels, folder / "imagesTr" / f"{case}_0000.nii.gz")
            self._save(labels, folder / "labelsTr" / f"{case}.nii.gz")
            rows.append(f"{case},{self.person}_{number}")
        (folder / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        names = {f"part{value}": value for value in self.label_values}
        info: dict[str, Any] = {
            "channel_names": {"0": self.modality},
            "labels": {"background": 0, **names},
            "numTraining": self.patients,
            "file_ending": ".nii.gz",
            "licence": "CC0-1.0",
            "reference": "Nobody: made by code",
            "released_weights_may_use": True,
            "anatomy": self.region,
        }
        (folder / "dataset.json").write_text(json.dumps(info), encoding="utf-8")
        return folder

    def case(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """int16 voxels and uint8 labels ``(Z, Y, X)``, the same for the same number."""
        rng = np.random.default_rng([number, *self.name.encode()])
        axes = np.indices(self.shape)
        middle = np.array(self.shape).reshape(3, 1, 1, 1) / 2 + rng.uniform(-1, 1, (3, 1, 1, 1))
        radius = 0.3 * np.array([n if n > 1 else 1000 for n in self.shape]).reshape(3, 1, 1, 1)
        distance = np.sqrt((((axes - middle) / radius) ** 2).sum(axis=0))
        labels = np.zeros(self.shape, dtype=np.uint8)
        for value, limit in zip(self.label_values, (1.0, 0.4), strict=False):
            labels[distance < limit] = value
        voxels = self.offset + self.contrast * (labels > 0) + rng.normal(0, 0.05 * abs(self.contrast), self.shape)
        return voxels.astype(np.int16), labels

    def _save(self, array: np.ndarray, path: Path) -> None:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing_xyz_mm)
        sitk.WriteImage(image, str(path))
