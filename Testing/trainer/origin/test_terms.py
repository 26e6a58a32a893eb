"""What a dataset says of its origin reaches the model file, and a word of the wrong type is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.model.training_data import ImageSizes
from Testing.trainer.dataset_folder import write_dataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.planning import make_plan
from trainer.origin.terms import licence_of, terms_of, training_data
from trainer.training.planned_manifest import planned_manifest
from trainer.verification.verify import verify_datasets


@pytest.mark.parametrize(("key", "value"), [("licence", 4), ("reference", ["a"]), ("ages", 7), ("scanners", {})])
def test_a_text_that_is_none_is_refused(tmp_path: Path, key: str, value: object) -> None:
    dataset = read_dataset(write_dataset(tmp_path / "Dataset001_A", **{key: value}))
    with pytest.raises(DatasetError, match=f"'{key}' is no text"):
        licence_of(dataset) if key == "licence" else training_data(dataset)


@pytest.mark.parametrize("value", ["true", 1, 0, []])
def test_whether_weights_may_be_released_is_true_or_false(tmp_path: Path, value: object) -> None:
    folder = write_dataset(tmp_path / "Dataset001_A", released_weights_may_use=value)
    with pytest.raises(DatasetError, match="released_weights_may_use"):
        terms_of(read_dataset(folder))
    (found,) = [defect for defect in verify_datasets([folder]) if not defect.is_warning]
    assert "released_weights_may_use" in found.what


def test_a_planned_model_carries_who_made_its_images_and_how_large_they_are(tmp_path: Path) -> None:
    said = {
        "reference": "Somebody 2020",
        "released_weights_may_use": False,
        "licence": "CC BY-NC 4.0",
        "ages": "adults",
    }
    dataset = read_dataset(write_dataset(tmp_path / "Dataset001_A", **said))
    plan = make_plan([dataset], TrainingConfig())
    (task,) = planned_manifest(plan, TrainingConfig(), "a").tasks
    assert (task.licence, task.data.reference, task.data.ages) == ("CC BY-NC 4.0", "Somebody 2020", "adults")
    assert task.data.released_weights_may_use is False
    sizes = task.data.sizes
    assert isinstance(sizes, ImageSizes)
    assert (sizes.images, sizes.voxels_zyx) == (3, ((6, 6), (8, 8), (10, 10)))
    assert sizes.spacing_zyx_mm is not None
    assert [low for low, _ in sizes.spacing_zyx_mm] == pytest.approx([2.0, 1.5, 1.0], abs=1e-6)


def test_verify_tells_what_would_keep_a_model_from_being_released(tmp_path: Path) -> None:
    silent = write_dataset(tmp_path / "Dataset001_A", licence=None, released_weights_may_use=None)
    wrong = write_dataset(tmp_path / "Dataset002_B", licence="CC BY-NC 4.0")
    warnings = [defect for defect in verify_datasets([silent, wrong]) if "dataset.json" in defect.file]
    assert all(defect.is_warning for defect in warnings)
    assert "does not say licence, released_weights_may_use" in warnings[0].what
    assert "reads as: CC BY-NC 4.0" in warnings[1].what
