"""What is stored of repeated predictions belongs to the settings that made it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.sitk_image import to_sitk
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import tiny_network, write_tiny_model
from trainer.layout.case import Case
from trainer.ood.catalogue import REAL, Entry
from trainer.ood.feature_store import ENSEMBLE, MC_DROPOUT, FeatureStore, Repeats, network_digest
from trainer.tiled.tiled_network import run_tiles


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return Predictor.load(write_tiny_model(tmp_path / "tiny.mts.safetensors"), "cpu")


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    import SimpleITK as sitk

    voxels = np.random.default_rng(0).random((12, 14, 16)).astype(np.float32)
    sitk.WriteImage(to_sitk(voxels, Volume(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), "")), str(tmp_path / "a.nii.gz"))
    return Entry(REAL, "folder", "a", "a", "", tmp_path / "a.nii.gz")


def test_other_settings_of_dropout_do_not_take_the_stored_result(
    predictor: Predictor, entry: Entry, tmp_path: Path
) -> None:
    def spread(repeats: Repeats) -> float:
        image = FeatureStore(predictor, predictor.network, tmp_path / "store", repeats).get(entry)
        assert image is not None
        return float(image.disagreement[MC_DROPOUT][0])

    weak, strong = Repeats(passes=3, rate=0.05), Repeats(passes=3, rate=0.6)
    first = spread(weak)
    assert spread(strong) > first
    assert spread(weak) == first


def test_only_a_crop_is_predicted_with_all_its_maps_in_memory(
    predictor: Predictor, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, a CT of 500 slices takes tens of gigabytes."""
    sizes: list[int] = []

    def recorded(network: SegmentationNetwork, voxels: np.ndarray, *args: object, **settings: object) -> None:
        sizes.append(voxels.size)
        run_tiles(network, voxels, *args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr("trainer.tiled.task_logits.run_tiles", recorded)
    monkeypatch.setattr("trainer.ood.feature_store.MAX_CROP_VOXELS", 500)
    repeats = Repeats(passes=2, ensemble=[predictor])
    FeatureStore(predictor, predictor.network, tmp_path / "store", repeats).get(entry)
    assert len(sizes) == 4
    assert max(sizes) <= 500


def test_the_fingerprint_of_an_ensemble_is_that_of_its_members_weights(predictor: Predictor) -> None:
    alone, twice = Repeats(ensemble=[predictor]), Repeats(ensemble=[predictor, predictor])
    assert alone.fingerprint(ENSEMBLE) != twice.fingerprint(ENSEMBLE)
    assert alone.fingerprint(MC_DROPOUT) == twice.fingerprint(MC_DROPOUT)
    assert network_digest(tiny_network(1)) != network_digest(tiny_network(2))


def attempts(predictor: Predictor, entry: Entry, folder: Path) -> np.ndarray:
    image = FeatureStore(predictor, predictor.network, folder).get(entry)
    assert image is not None
    return image.attempts[0].layers["encoder0"].means


def test_an_image_that_was_replaced_is_measured_anew_and_one_that_was_touched_is_not(
    predictor: Predictor, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import SimpleITK as sitk

    before = attempts(predictor, entry, tmp_path / "store")
    entry.image.touch()
    with monkeypatch.context() as context:
        context.setattr(FeatureStore, "_measure", lambda *arguments: pytest.fail("measured again"))
        np.testing.assert_array_equal(attempts(predictor, entry, tmp_path / "store"), before)
    state = entry.image.stat()
    image = sitk.ReadImage(str(entry.image))
    sitk.WriteImage(image * image, str(entry.image))
    os.utime(entry.image, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert not np.array_equal(attempts(predictor, entry, tmp_path / "store"), before)


def test_an_image_that_could_not_be_read_is_measured_once_it_can(
    predictor: Predictor, entry: Entry, tmp_path: Path
) -> None:
    whole = entry.image.read_bytes()
    entry.image.write_bytes(whole[:-40])
    assert FeatureStore(predictor, predictor.network, tmp_path / "store").get(entry) is None
    entry.image.write_bytes(whole)
    assert FeatureStore(predictor, predictor.network, tmp_path / "store").get(entry) is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda task: replace(task, labels=(replace(task.labels[0], value=9),)),
        lambda task: replace(task, profile=replace(task.profile, spacing_zyx_mm=(3.0, 3.0, 3.0))),
    ],
)
def test_what_was_measured_for_other_tasks_with_the_same_weights_is_not_taken(
    predictor: Predictor, entry: Entry, tmp_path: Path, change: Any
) -> None:
    FeatureStore(predictor, predictor.network, tmp_path / "store").get(entry)
    model = predictor.model
    tasks = tuple(map(change, model.manifest.tasks))
    changed = Predictor(replace(model, manifest=replace(model.manifest, tasks=tasks)), "cpu")
    known = set((tmp_path / "store").iterdir())
    FeatureStore(changed, predictor.network, tmp_path / "store").get(entry)
    assert set((tmp_path / "store").iterdir()) - known


def test_the_image_whose_grid_is_taken_is_part_of_what_was_measured(
    predictor: Predictor, entry: Entry, tmp_path: Path
) -> None:
    like = Path(shutil.copy(entry.image, tmp_path / "like.nii.gz"))
    matched = replace(entry, like=Case("like", like, None, "like"))
    store = FeatureStore(predictor, predictor.network, tmp_path / "store")
    before = store._name(matched)
    assert before != store._name(entry)
    like.write_bytes(like.read_bytes() + b" ")
    assert store._name(matched) != before
