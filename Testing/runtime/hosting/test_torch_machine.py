"""What the worker has of torch: the right default model, memory handed back, a broken installation told in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.hosting.purpose import LOCATE, Purpose
from MultiTaskSegLib.runtime.hosting.run_plan import RunPlan
from MultiTaskSegLib.runtime.hosting.torch_machine import TorchMachine, needed_packages
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.prediction.placed_model import noise, placed_model, profile
from Testing.runtime.tiny_model import write_tiny_model

OPEN = "MultiTaskSegLib.runtime.predictor.open_predictor"


@pytest.mark.parametrize("planar", [False, True])
def test_without_a_model_the_released_one_for_that_kind_of_image_is_loaded(
    planar: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    monkeypatch.setattr(OPEN, lambda path, device, **more: loaded.append(path))
    TorchMachine().load(None, "cpu", planar)
    assert [path.name.startswith("planar2d") for path in loaded] == [planar]


def test_a_named_model_is_loaded_whatever_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[Path, str]] = []
    monkeypatch.setattr(OPEN, lambda path, device, **more: loaded.append((path, device)))
    TorchMachine().load("mine.mts.safetensors", "cpu", True)
    assert loaded == [(Path("mine.mts.safetensors"), "cpu")]


def test_releasing_empties_the_reserve_of_the_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[bool] = []
    monkeypatch.setattr(
        "MultiTaskSegLib.runtime.machine.compute_device.release_card_memory", lambda: released.append(True)
    )
    TorchMachine().release()
    assert released == [True]


@pytest.mark.parametrize(
    ("error", "names"),
    [
        (ModuleNotFoundError("No module named 'safetensors'", name="safetensors"), "'safetensors' cannot be loaded"),
        (OSError("libtorch.so:\ncannot open"), "'torch' cannot be loaded .libtorch.so: cannot open."),
        (AttributeError("module 'torch' has no attribute 'nn'"), "cannot be loaded"),
    ],
)
def test_a_package_that_loads_half_way_is_told_with_what_to_install(error: Exception, names: str) -> None:
    with pytest.raises(ResourceError, match=rf"{names}.*Install PyTorch"), needed_packages():
        raise error


def test_other_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), needed_packages():
        raise ZeroDivisionError


def test_a_package_for_which_there_is_no_memory_is_a_lack_of_memory() -> None:
    words = "libtorch_cpu.so: failed to map segment from shared object"
    with pytest.raises(ResourceError, match="not enough memory"), needed_packages():
        raise ImportError(words, name="torch")


def test_a_plan_counts_the_cells_that_the_model_remembers_and_what_may_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    prospects: list[object] = []

    def plan_run(*arguments: object) -> None:
        asked.append(arguments[6])  # type: ignore[arg-type]
        prospects.append(arguments[7])

    monkeypatch.setattr("MultiTaskSegLib.runtime.hosting.run_plan.plan_run", plan_run)
    predictor = Predictor.load(write_tiny_model(tmp_path / "tiny.mts.safetensors", with_cells=True), "cpu")
    volume = Volume(np.ones((8, 8, 8), np.float32), np.eye(4))
    TorchMachine().plan(predictor, volume, LOCATE, "cpu")
    assert asked == [max(len(cells.memory) for cells in predictor.model.memories)]
    assert asked[0] > 0
    assert prospects == [predictor.prospect]


SHORT = ResourceError("the run needs more than is free")


@pytest.mark.parametrize(
    "first",
    [RunPlan("cpu", 1, ("in parts",)), RunPlan("cpu", spares_memory=True), SHORT],
    ids=["smaller parts", "plain torch", "too large"],
)
def test_maps_that_wait_go_before_a_run_is_planned_otherwise_for_want_of_memory(
    first: RunPlan | ResourceError, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, volume = TorchMachine(), noise()
    predictor = Predictor(placed_model(volume, {"near": (profile(2.0), 2.0)}), "cpu", "torch", machine._sights)

    def plan_run(*_: object) -> RunPlan:
        """There is room once the maps are gone."""
        if machine._sights.has_maps and isinstance(first, ResourceError):
            raise first
        return first if machine._sights.has_maps else RunPlan("cpu")  # type: ignore[return-value]

    monkeypatch.setattr("MultiTaskSegLib.runtime.hosting.run_plan.plan_run", plan_run)
    predictor.keeps_maps = True
    predictor.check(volume)
    assert machine._sights.has_maps
    assert machine.plan(predictor, volume, Purpose("auto"), "cpu") == RunPlan("cpu")
    assert not machine._sights.has_maps


def test_where_there_is_room_maps_wait_for_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, volume = TorchMachine(), noise()
    predictor = Predictor(placed_model(volume, {"near": (profile(2.0), 2.0)}), "cpu", "torch", machine._sights)
    predictor.keeps_maps = True
    predictor.check(volume)
    monkeypatch.setattr("MultiTaskSegLib.runtime.hosting.run_plan.plan_run", lambda *_: RunPlan("cpu"))
    machine.plan(predictor, volume, Purpose("auto"), "cpu")
    assert machine._sights.has_maps
