"""What is stored of repeated predictions belongs to the settings that made it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.sitk_image import to_sitk
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import tiny_network, write_tiny_model
from trainer.ood.catalogue import REAL, Entry
from trainer.ood.feature_store import ENSEMBLE, MC_DROPOUT, FeatureStore, Repeats, network_digest
from trainer.training.tiled_network import run_tiles


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

    monkeypatch.setattr("trainer.training.validation.run_tiles", recorded)
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
