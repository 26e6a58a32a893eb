"""What nnU-Net gets to read is what our networks see, and its answers come back to the voxel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import ModelError
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.labelled_case import read_labelled_case
from trainer.data.planning import make_plan
from trainer.nnunet_peer.peer_data import NAME, image_key, write_images, write_training_data
from trainer.nnunet_peer.peer_predictor import PeerPredictor
from trainer.training.planned_manifest import planned_manifest

CONFIG = TrainingConfig(channels=(4, 6), patch_voxels=1024)
SHAPE = (6, 14, 18)


def turned(folder: Path, direction: tuple[float, ...]) -> None:
    """Store every image and label map of a dataset in another order of the voxels."""
    for path in (*folder.glob("imagesTr/*"), *folder.glob("labelsTr/*")):
        image = sitk.ReadImage(str(path))
        image.SetDirection(direction)
        sitk.WriteImage(image, str(path))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Of volumes that are stored upside down, with two labels whose values leave a gap."""
    made = BallDataset(
        "Dataset004_Balls", shape=SHAPE, spacing_xyz_mm=(1.0, 1.0, 2.0), patients=4, modality="CT", label_values=(2, 5)
    )
    folder = made.write(tmp_path)
    turned(folder, (0, -1, 0, 1, 0, 0, 0, 0, -1))
    return read_dataset(folder)


def test_images_and_labels_are_written_as_the_networks_see_them(dataset: Dataset, tmp_path: Path) -> None:
    manifest = planned_manifest(make_plan([dataset], CONFIG), CONFIG, "nnunet")
    split = write_training_data(tmp_path, dataset, manifest.tasks[0], dataset.cases[:3], dataset.cases[3:])
    assert split == {"train": ["train_0", "train_1", "train_2"], "val": ["val_0"]}
    info = json.loads((tmp_path / NAME / "dataset.json").read_text())
    assert (info["channel_names"], info["labels"]) == ({"0": "CT"}, {"background": 0, "label_1": 1, "label_2": 2})
    volume, truth = dataset.cases[3].read_pair(dataset.labels)
    image, labels = (
        sitk.ReadImage(str(tmp_path / NAME / part / name))
        for part, name in (("imagesTr", "val_0_0000.nrrd"), ("labelsTr", "val_0.nrrd"))
    )
    assert image.GetSpacing() == (1.0, 1.0, 2.0)
    # Rows and columns change places, so that they lie as in an image that is not turned.
    assert sitk.GetArrayFromImage(image).shape == (6, 18, 14)
    values = sitk.GetArrayFromImage(labels)
    assert {int(n): int((values == n).sum()) for n in np.unique(values)} == {
        0: int((truth == 0).sum()), 1: int((truth == 2).sum()), 2: int((truth == 5).sum())
    }  # fmt: skip
    assert sorted(sitk.GetArrayFromImage(image)[values > 0]) == sorted(volume.voxels[truth > 0])


def test_answers_come_back_to_the_voxel_with_the_values_of_the_dataset(dataset: Dataset, tmp_path: Path) -> None:
    manifest = planned_manifest(make_plan([dataset], CONFIG), CONFIG, "nnunet")
    (task,) = manifest.tasks
    case = dataset.cases[0]
    ((key, path),) = write_images(tmp_path / "images", task, [case]).items()
    prepared = read_labelled_case(case, task, dataset.labels)
    assert key == image_key(prepared.prepared)
    assert Path(path).name == f"{key}_0000.nrrd"
    # Whoever predicts sees the file alone: here who knows the truth, and is sure of it.
    volume, truth = case.read_pair(dataset.labels)
    split = write_training_data(tmp_path, dataset, task, [case], [])
    known = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / NAME / "labelsTr" / f"{split['train'][0]}.nrrd")))
    assert sitk.ReadImage(path).GetSize() == known.shape[::-1]
    np.save(tmp_path / f"{key}.npy", np.stack([known == index for index in range(3)]).astype(np.float32))
    predictor = PeerPredictor(manifest, tmp_path)
    labels, score = predictor.answer(volume, dataset.name)
    assert np.array_equal(labels, truth)
    assert np.isnan(score)
    assert np.isnan(predictor.score(volume))
    shares = np.exp(predictor.log_probabilities(prepared))
    assert shares.shape == (3, *prepared.truth.shape)
    assert np.allclose(shares.sum(axis=0), 1, atol=1e-5)
    assert (shares.argmax(axis=0) == prepared.truth).mean() > 0.97


def test_an_image_that_nnunet_was_not_asked_about_and_an_answer_of_another_size_are_refused(
    dataset: Dataset, tmp_path: Path
) -> None:
    manifest = planned_manifest(make_plan([dataset], CONFIG), CONFIG, "nnunet")
    volume = dataset.cases[0].read_image()
    with pytest.raises(ModelError, match="no prediction of nnU-Net"):
        PeerPredictor(manifest, tmp_path).answer(volume, dataset.name)
    (key,) = write_images(tmp_path / "images", manifest.tasks[0], dataset.cases[:1])
    np.save(tmp_path / f"{key}.npy", np.zeros((3, *SHAPE), dtype=np.float32))
    with pytest.raises(ModelError, match="nnU-Net predicted"):
        PeerPredictor(manifest, tmp_path).answer(volume, dataset.name)
