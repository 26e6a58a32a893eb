"""Cases in the form in which nnU-Net reads them, turned as our networks see them and otherwise as they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.preparation import Prepared, prepare
from MultiTaskSegLib.runtime.image.sitk_image import write_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from trainer.data.dataset import Dataset
from trainer.data.labelled_case import label_indices
from trainer.layout.case import Case

NUMBER = 1
NAME = f"Dataset{NUMBER:03d}_Peer"
ENDING = ".nrrd"
KEY_CHARACTERS = 20


def write_training_data(
    raw: Path, dataset: Dataset, task: TaskInfo, training: Sequence[Case], held_out: Sequence[Case]
) -> dict[str, list[str]]:
    """Write images and label maps, the labels numbered as in the task's head.

    Args:
        raw: nnU-Net's folder of raw data.
        dataset, task: that the cases are of.
        training, held_out: cases; names and groups are not written.

    Returns:
        The split: names of the cases under ``train`` and ``val``.
    """
    folder = raw / NAME
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    split: dict[str, list[str]] = {}
    for side, cases in (("train", training), ("val", held_out)):
        split[side] = [f"{side}_{number}" for number in range(len(cases))]
        for name, case in zip(split[side], cases, strict=True):
            volume, stored = case.read_pair(dataset.labels)
            write_image(_image(volume.voxels, volume), folder / "imagesTr" / f"{name}_0000{ENDING}")
            labels = label_indices(stored, task, dataset.labels)
            write_image(_image(labels, volume), folder / "labelsTr" / f"{name}{ENDING}")
    labels_by_name = {"background": 0} | {f"label_{index}": index for index in range(1, len(task.labels) + 1)}
    description = {
        # nnU-Net scales images of a channel named CT by fixed limits, all others by their own mean and spread.
        "channel_names": {str(index): family for index, family in enumerate(dataset.channel_families)},
        "labels": labels_by_name,
        "numTraining": len(training) + len(held_out),
        "file_ending": ENDING,
    }
    (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return split


def write_images(folder: Path, task: TaskInfo, cases: Sequence[Case]) -> Mapping[str, str]:
    """Write images to be predicted; their paths by `image_key`."""
    folder.mkdir()
    paths = {}
    for case in cases:
        volume = case.read_image()
        key = image_key(prepare(volume, task.profile))
        path = folder / f"{key}_0000{ENDING}"
        write_image(_image(volume.voxels, volume), path)
        paths[key] = str(path)
    return paths


def image_key(prepared: Prepared) -> str:
    """What an image is called: what the networks see of it says which one it is."""
    whole = hashlib.sha256(repr((prepared.frame.window, prepared.grid_shape)).encode())
    whole.update(np.ascontiguousarray(prepared.voxels).tobytes())
    return whole.hexdigest()[:KEY_CHARACTERS]


def _image(array: NDArray[np.generic], volume: Volume) -> sitk.Image:
    """The canonical array; of a 2-D image as an image of two dimensions, which is how nnU-Net knows one."""
    order = canonical_reorientation(volume)
    canonical = np.ascontiguousarray(order.apply(array))
    z_mm, y_mm, x_mm = order.spacing_zyx_mm(volume)
    is_planar = canonical.shape[0] == 1
    image = sitk.GetImageFromArray(canonical[0] if is_planar else canonical)
    image.SetSpacing((x_mm, y_mm) if is_planar else (x_mm, y_mm, z_mm))
    return image
