"""Datasets of two channels: a ball that is bright in the first, with a core that is bright in the second."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

CHANNELS = ("FLAIR", "T1c")
LABELS = {"background": 0, "rim": 1, "core": 2}
REGION_LABELS = {"background": 0, "whole": [1, 2], "core": [2]}
REGION_ORDER = [1, 2]


@dataclass(frozen=True)
class ChannelDataset:
    """What to write.

    Attributes:
        name: folder name.
        are_regions: whether labels are lists of values.
        shape: ``(Z, Y, X)``.
        patients: number of cases; one per patient.
        region: of the body.
    """

    name: str
    are_regions: bool = False
    shape: tuple[int, int, int] = (6, 12, 12)
    patients: int = 6
    region: str = "head"

    def write(self, parent: Path) -> Path:
        """Write the dataset as nnU-Net v2 raw and return its folder."""
        folder = parent / self.name
        for part in ("imagesTr", "labelsTr"):
            (folder / part).mkdir(parents=True)
        rows = ["case,group"]
        for number in range(self.patients):
            case = f"case_{number:02d}"
            channels, labels = self.case(number)
            for channel, voxels in enumerate(channels):
                write_voxels(voxels, channel_path(folder, case, channel))
            write_voxels(labels, folder / "labelsTr" / f"{case}.nii.gz")
            rows.append(f"{case},{self.name}_{number}")
        (folder / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        (folder / "dataset.json").write_text(json.dumps(self.info()), encoding="utf-8")
        return folder

    def info(self) -> dict[str, object]:
        """``dataset.json``."""
        order = {"regions_class_order": REGION_ORDER} if self.are_regions else {}
        return {
            "channel_names": {str(number): name for number, name in enumerate(CHANNELS)},
            "labels": REGION_LABELS if self.are_regions else LABELS,
            "numTraining": self.patients,
            "file_ending": ".nii.gz",
            "licence": "CC0-1.0",
            "reference": "Nobody: made by code",
            "released_weights_may_use": True,
            "anatomy": self.region,
            **order,
        }

    def case(self, number: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """int16 voxels of both channels and uint8 labels ``(Z, Y, X)``, the same for the same number."""
        rng = np.random.default_rng([number, *self.name.encode()])
        middle = np.array(self.shape).reshape(3, 1, 1, 1) / 2 + rng.uniform(-1, 1, (3, 1, 1, 1))
        radius = 0.35 * np.array(self.shape).reshape(3, 1, 1, 1)
        distance = np.sqrt((((np.indices(self.shape) - middle) / radius) ** 2).sum(axis=0))
        labels = np.where(distance < 0.5, 2, np.where(distance < 1, 1, 0)).astype(np.uint8)
        first = 100 + 200 * (labels > 0) + rng.normal(0, 8, self.shape)
        second = 400 - 300 * np.exp(-2 * (labels == 2).astype(float)) + rng.exponential(40, self.shape)
        return (first.astype(np.int16), second.astype(np.int16)), labels


def channel_path(folder: Path, case: str, channel: int) -> Path:
    """Where a channel of a case lies."""
    return folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz"


def write_voxels(array: np.ndarray, path: Path) -> None:
    """``(Z, Y, X)``, with voxels of 1 mm."""
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
