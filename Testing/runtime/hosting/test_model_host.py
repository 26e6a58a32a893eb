"""One loaded model that is run where it fits: what is loaded when, and what happens when memory runs out."""

from __future__ import annotations

import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.hosting.image_runs import REPLACED, ImageRuns
from MultiTaskSegLib.runtime.hosting.model_host import CARD_FAILED, CARD_RAN_OUT, ModelHost
from MultiTaskSegLib.runtime.hosting.purpose import LOCATE, Purpose
from MultiTaskSegLib.runtime.hosting.run_plan import RunPlan
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory

VOLUME = Volume(np.zeros((2, 2, 2), np.float32), np.eye(4))
CARD_OUT_OF_MEMORY = [
    RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ResourceError("not enough memory on cuda even for small tiles"),
]
MAIN_OUT_OF_MEMORY = [
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    ResourceError("there is not enough memory in this computer for the image", file="/data/cuda/scan.nii"),
]
OUT_OF_MEMORY = CARD_OUT_OF_MEMORY + MAIN_OUT_OF_MEMORY


class Model:
    """A predictor that remembers where it is."""

    def __init__(self, model, device, planar):
        self.device = device
        self.memory_step = -1
        self.model = SimpleNamespace(digest="one")
        self.manifest = SimpleNamespace(name="stand-in")


class MachineStandIn:
    """A card and a CPU; ``plans`` says where runs planned for a device go."""

    def __init__(self, plans=None):
        self.loads: list[tuple] = []
        self.releases = 0
        self.plans = plans or {}

    def models(self):
        return []

    def device(self, wanted):
        return "cuda:0" if wanted == "auto" else wanted

    def load(self, *key):
        self.loads.append(key)
        return Model(*key)

    def plan(self, predictor, volume, purpose, device):
        return self.plans.get(device, RunPlan(device))

    def release(self):
        self.releases += 1


def run(host: ModelHost, act, device: str = "auto", progress=lambda share, step: None):
    told: list[str] = []
    found = host.run(None, device, VOLUME, Purpose("auto"), lambda model, tell: act(model), progress, told.append)
    return found, told


def test_the_model_stays_loaded_and_the_device_is_found_before_it_is_compared():
    machine = MachineStandIn()
    host = ModelHost(machine)
    for device in ("auto", "cuda:0", "auto"):
        run(host, lambda model: None, device)
    assert machine.loads == [(None, "cuda:0", False)]


def test_the_parts_of_the_plan_reach_the_predictor_and_are_told():
    machine = MachineStandIn({"cuda:0": RunPlan("cuda:0", 3, ("short",))})
    (slab, notes), told = run(ModelHost(machine), lambda model: model.memory_step)
    assert (slab, notes, told) == (3, ("short",), ["in smaller parts"])


@pytest.mark.parametrize("error", CARD_OUT_OF_MEMORY)
def test_when_the_card_runs_out_of_memory_the_cpu_goes_on_and_says_so(error):
    def act(model: Model) -> str:
        if model.device != "cpu":
            raise error
        return model.device

    machine = MachineStandIn()
    (device, notes), told = run(ModelHost(machine), act)
    assert (device, notes, told) == ("cpu", (CARD_RAN_OUT,), ["on the CPU"])
    assert machine.releases == 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("HIP error: invalid device function"),
    ],
)
@pytest.mark.parametrize("at_load", [True, False])
def test_a_card_that_fails_in_the_middle_is_followed_by_the_cpu_with_a_word(error, at_load):
    def act(model: Model) -> str:
        if model.device == "cpu":
            return model.device
        raise error

    machine = MachineStandIn()
    load = machine.load
    if at_load:
        machine.load = lambda model, device, planar: (
            load(model, device, planar) if device == "cpu" else act(load(model, device, planar))
        )
    (device, notes), told = run(ModelHost(machine), act)
    assert (device, notes, told) == ("cpu", (CARD_FAILED,), ["on the CPU"])


@pytest.mark.parametrize("error", MAIN_OUT_OF_MEMORY)
@pytest.mark.parametrize("at_load", [True, False])
def test_when_the_main_memory_beside_a_card_runs_out_the_card_is_not_blamed_and_the_cpu_not_tried(error, at_load):
    def fail(*_key):
        raise error

    machine = MachineStandIn()
    host = ModelHost(machine)
    if at_load:
        machine.load = fail
    with pytest.raises(type(error)) as told:
        run(host, fail)
    assert told.value is error
    assert all(device == "cuda:0" for _, device, _ in machine.loads)


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_whether_memory_is_to_be_spared_reaches_the_predictor_and_is_no_habit(device: str) -> None:
    machine = MachineStandIn()
    host = ModelHost(machine)
    for spares in (True, False):
        machine.plans = {device: RunPlan(device, 0, (), spares)}
        assert run(host, lambda model: model.spares_memory, device)[0][0] is spares
        machine.plans = {device: RunPlan(device, 0, (), keeps_maps=spares)}
        assert run(host, lambda model: model.keeps_maps, device)[0][0] is spares


def test_a_plan_that_avoids_the_card_loads_on_the_cpu():
    machine = MachineStandIn({"cuda:0": RunPlan("cpu", 5, ("the card is full",))})
    (device, notes), told = run(ModelHost(machine), lambda model: model.device)
    assert (device, notes, told) == ("cpu", ("the card is full",), ["on the CPU"])


def test_after_the_card_the_plan_of_the_cpu_counts_with_its_parts_and_its_warnings():
    def act(model: Model) -> int | None:
        if model.device != "cpu":
            raise CARD_OUT_OF_MEMORY[0]
        return model.memory_step

    machine = MachineStandIn({"cpu": RunPlan("cpu", 77, ("in parts",))})
    (slab, notes), _ = run(ModelHost(machine), act)
    assert (slab, notes) == (77, (CARD_RAN_OUT, "in parts"))


def test_an_old_model_and_its_card_memory_are_gone_before_the_next_one_loads():
    models: list[weakref.ref] = []
    seen_at_load: list[tuple[list[bool], int]] = []

    class Watched(MachineStandIn):
        """Looks what is left of the last model when another one is loaded."""

        def load(self, *key):
            seen_at_load.append(([model() is None for model in models], self.releases))
            loaded = super().load(*key)
            models.append(weakref.ref(loaded))
            return loaded

    host = ModelHost(Watched())
    host.predictor("first", "cuda:0", False)
    host.predictor("second", "cuda:0", False)
    assert seen_at_load == [([], 0), ([True], 1)]


def test_a_model_file_that_was_written_again_is_loaded_again(tmp_path):
    machine, path = MachineStandIn(), tmp_path / "mine.mts.safetensors"
    host = ModelHost(machine)
    for content in (b"first", b"first", b"second"):
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
        host.predictor(str(path), "cpu", False)
    assert machine.loads == [(str(path), "cpu", False)] * 2


def test_the_model_of_the_card_is_gone_before_the_cpu_takes_over():
    models: list[weakref.ref] = []
    gone_at_load: list[list[bool]] = []

    class Watched(MachineStandIn):
        """Looks which models are left when another one is loaded."""

        def load(self, *key):
            gone_at_load.append([model() is None for model in models])
            return super().load(*key)

    def act(model: Model) -> None:
        models.append(weakref.ref(model))
        if model.device != "cpu":
            raise RuntimeError("CUDA out of memory")

    run(ModelHost(Watched()), act)
    assert gone_at_load == [[], [True]]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_when_the_cpu_runs_out_of_memory_there_is_nothing_left_to_try(error):
    def act(_model: Model) -> None:
        raise error

    with pytest.raises(type(error)):
        run(ModelHost(MachineStandIn()), act, "cpu")


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), InputError("the image is constant"), ValueError("no")]
)
def test_other_errors_are_not_tried_again(error):
    machine = MachineStandIn()

    def act(_model: Model) -> None:
        raise error

    with pytest.raises(type(error)):
        run(ModelHost(machine), act)
    assert len(machine.loads) == 1


def test_words_about_memory_are_known_from_other_errors():
    assert all(is_out_of_memory(error) for error in OUT_OF_MEMORY)
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


def test_progress_never_falls_when_the_cpu_begins_again_and_shares_out_what_is_left() -> None:
    told: list[float] = []

    def act(model: Model, tell) -> None:
        """Half of it on the card, and all of it on the CPU."""
        shares = (0.0, 0.25, 0.5) if model.device != "cpu" else (0.0, 0.5, 1.0)
        for share in shares:
            tell(share, "network")
        if model.device != "cpu":
            raise CARD_OUT_OF_MEMORY[0]

    host = ModelHost(MachineStandIn())
    host.run(None, "auto", VOLUME, Purpose("auto"), act, lambda share, step: told.append(share), lambda note: None)
    assert told == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0]


def test_a_plan_is_made_for_what_is_to_be_done() -> None:
    seen: list[Purpose] = []

    class Asked(MachineStandIn):
        """Remembers what it planned."""

        def plan(self, predictor, volume, purpose, device):
            seen.append(purpose)
            return RunPlan(device)

    ModelHost(Asked()).run(None, "cpu", VOLUME, LOCATE, lambda model, tell: None, print, print)
    assert seen == [LOCATE]


def test_images_of_both_kinds_load_each_released_model_once_and_a_named_model_once() -> None:
    planar = Volume(np.zeros((1, 4, 4), np.float32), np.eye(4))
    for model, loads in ((None, [False, True]), (Path("mine.mts.safetensors"), [False])):
        machine = MachineStandIn()
        runs = ImageRuns(model, "cpu", lambda share, step: None, machine)
        for volume in (VOLUME, planar, VOLUME, planar):
            outcome = runs.run(volume, Purpose("auto"), lambda model, tell: model.memory_step)
            assert (outcome.found, outcome.notes) == (0, ())
        assert [is_planar for _, _, is_planar in machine.loads] == loads


def test_a_card_without_room_for_the_model_itself_leaves_the_run_to_the_cpu() -> None:
    class FullCard(MachineStandIn):
        def load(self, *key):
            if key[1] != "cpu":
                raise RuntimeError("CUDA out of memory. Tried to allocate 20 MiB")
            return super().load(*key)

    machine = FullCard()
    told: list[str] = []
    found, notes = ModelHost(machine).run(
        None, "auto", VOLUME, Purpose("auto"), lambda model, tell: model.device, lambda share, step: None, told.append
    )
    assert (found, notes, told) == ("cpu", (CARD_RAN_OUT,), ["on the CPU"])


def test_images_that_were_judged_by_another_model_under_the_same_name_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "mine.mts.safetensors"
    digests = iter(("one", "two", "one"))

    class Trained(MachineStandIn):
        def load(self, *key):
            model = super().load(*key)
            model.model.digest = next(digests)
            return model

    runs = ImageRuns(path, "cpu", lambda share, step: None, Trained())
    told = []
    for content in ("first", "a second one", "third"):
        path.write_text(content)
        outcome = runs.run(VOLUME, Purpose("auto"), lambda model, tell: model.model.digest)
        told.append((outcome.found, outcome.notes))
    assert told == [("one", ()), ("two", (REPLACED,)), ("one", ())]
