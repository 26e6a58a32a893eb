"""Where the released models are looked for."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model import released
from MultiTaskSegLib.runtime.model.model_file import read_manifest

LEAST_DICE = 0.6
"""On held-out cases: a task below it helps nobody."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package without models."""
    folder = tmp_path / "module" / "MultiTaskSegLib"
    monkeypatch.setattr(released, "__file__", str(folder / "runtime" / "model" / "released.py"))
    return folder


def put(folder: Path, name: str) -> Path:
    path = folder / "Resources" / "Models" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("planar, name", [(False, "mr3d.mts.safetensors"), (True, "planar2d.mts.safetensors")])
def test_the_model_is_found_beside_the_package_and_inside_it(package: Path, planar: bool, name: str) -> None:
    inside = put(package, name)
    assert released.released_model(planar).resolve() == inside.resolve()
    beside = put(package.parent, name)
    assert released.released_model(planar).resolve() == beside.resolve()


def test_a_missing_model_is_refused_with_what_to_do(package: Path) -> None:
    put(package, "mr3d.mts.safetensors")
    with pytest.raises(ModelError, match=r"planar2d\.mts\.safetensors is not installed.*a model file of your own"):
        released.released_model(planar=True)


def test_no_task_is_released_whose_mean_dice_is_too_low_to_be_of_use() -> None:
    tasks = [task for path in released.released_models() for task in read_manifest(path)[0].tasks]
    assert len(tasks) >= 10
    assert [task.name for task in tasks if fmean(task.held_out_dice.values()) < LEAST_DICE] == []


def test_every_released_model_says_how_good_its_results_are_and_has_a_limit_for_each_task() -> None:
    manifests = {path.name: read_manifest(path)[0] for path in released.released_models()}
    assert [name for name, manifest in manifests.items() if manifest.ood.limits is None] == []
    assert [name for name, manifest in manifests.items() if manifest.quality is None] == []
