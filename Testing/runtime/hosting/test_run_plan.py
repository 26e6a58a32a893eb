"""Where a run goes: large parts, smaller parts, the CPU instead of a card, or a refusal in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.hosting.memory_estimate import RunMemory
from MultiTaskSegLib.runtime.hosting.purpose import CHECK, LOCATE, Purpose
from MultiTaskSegLib.runtime.hosting.run_plan import RunPlan, plan_run
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.compute_device import ComputeDevice
from MultiTaskSegLib.runtime.network.architecture import Architecture
from MultiTaskSegLib.runtime.network.prospect import PLAIN, UNKNOWN, Prospect
from MultiTaskSegLib.runtime.prediction.network_pass import IN_PARTS
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import tiny_manifest, write_tiny_model

# Wide enough that the network takes most of the memory.
WIDE = Architecture(channels=(64, 64), strides=((2, 2, 2),), kernels=((3, 3, 3), (3, 3, 3)), outputs=5)
MANIFEST = replace(tiny_manifest(), architecture=WIDE)
CANDIDATES = [MANIFEST.tasks[0].profile]
TASK = Purpose(MANIFEST.tasks[0].name)
# Nothing is allocated: only the shape counts.
LARGE = Volume(np.broadcast_to(np.float32(0), (60, 300, 300)), np.diag([2.0, 2.0, 2.0, 1.0]))
ENDLESS = 10**12
PURPOSES = [TASK, Purpose("auto"), CHECK, LOCATE]


def host(free_bytes: int | None = ENDLESS) -> ComputeDevice:
    return ComputeDevice("cpu", "CPU", free_bytes, free_bytes)


def card(free_bytes: int) -> ComputeDevice:
    return ComputeDevice("cuda:0", "Card 0", free_bytes, free_bytes)


def memory(purpose: Purpose = TASK, device: str = "cpu") -> RunMemory:
    return RunMemory(MANIFEST, CANDIDATES, LARGE, purpose, torch.device(device))


def room_for(need_bytes: int) -> int:
    """Free memory that is just enough."""
    return 1 + int(need_bytes / 0.9)


def plan(device: ComputeDevice, main_memory: ComputeDevice, purpose: Purpose = TASK, volume: Volume = LARGE) -> RunPlan:
    return plan_run(MANIFEST, CANDIDATES, volume, purpose, device, main_memory)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_with_enough_memory_the_usual_parts_are_used_without_a_word(purpose: Purpose) -> None:
    assert plan(host(), host(), purpose) == RunPlan("cpu")
    assert plan(card(ENDLESS), host(), purpose) == RunPlan("cuda:0")


def needs(prospect: Prospect) -> int:
    """Bytes of main memory, in large parts."""
    run = RunMemory(MANIFEST, CANDIDATES, LARGE, TASK, torch.device("cpu"), 0, prospect)
    return run.at(0).host_bytes(is_on_host=True)


READY, BUILT = Prospect(is_compiled=True), Prospect(is_compiled=True, builds=1)
TRIED = Prospect(is_compiled=True, builds=1, is_tried=True)


@pytest.mark.parametrize("prospect", [READY, BUILT, TRIED])
def test_what_else_than_plain_torch_may_compute_does_so_only_where_what_it_takes_fits(prospect: Prospect) -> None:
    plain, least = needs(PLAIN), needs(prospect)
    assert least > plain

    def spares(free_bytes: int | None, main: bool = True) -> bool:
        """Whether plain torch computes, in large parts."""
        device = host(free_bytes) if main else card(ENDLESS)
        found = plan_run(MANIFEST, CANDIDATES, LARGE, TASK, device, host(free_bytes), 0, prospect)
        assert found.memory_step == 0
        return found.spares_memory

    assert not spares(room_for(least))
    assert spares(room_for(least) - 100)
    assert spares(room_for(plain))
    assert not spares(None)
    assert not spares(ENDLESS, main=False)


def test_where_plain_torch_is_all_there_is_nothing_is_spared_that_fits() -> None:
    free = host(room_for(needs(PLAIN)))
    assert not plan(free, free).spares_memory
    least = memory().at(memory().steps - 1).host_bytes(is_on_host=True)
    assert plan(host(room_for(least)), host(room_for(least))).memory_step > 0


def test_on_the_processor_after_a_card_the_most_that_may_compute_is_counted() -> None:
    for free_bytes, spares in ((room_for(needs(UNKNOWN)), False), (room_for(needs(UNKNOWN)) - 100, True)):
        found = plan_run(MANIFEST, CANDIDATES, LARGE, TASK, card(1000), host(free_bytes))
        assert (found.device, found.spares_memory) == ("cpu", spares)


def test_to_be_compiled_and_to_be_tried_each_take_their_part() -> None:
    small = Volume(np.broadcast_to(np.float32(0), (8, 16, 16)), np.diag([2.0, 2.0, 2.0, 1.0]))

    def stages(prospect: Prospect) -> list[str]:
        run = RunMemory(MANIFEST, CANDIDATES, small, TASK, torch.device("cpu"), 0, prospect)
        return [stage.name for stage in run.at(0).stages]

    assert not {"compiling", "trying"} & {*stages(PLAIN), *stages(READY)}
    assert "compiling" in stages(BUILT)
    assert {"compiling", "trying"} <= {*stages(TRIED)}
    assert TRIED.trying_bytes(WIDE) > 0 == BUILT.trying_bytes(WIDE)
    assert UNKNOWN.held_bytes(WIDE) > TRIED.held_bytes(WIDE) > READY.held_bytes(WIDE) > PLAIN.held_bytes(WIDE)


def test_maps_wait_for_labels_only_where_these_are_likely_and_there_is_plenty_of_memory() -> None:
    check = Purpose(keeps=True)
    plenty = room_for(3 * memory(check).at(0).host_bytes(is_on_host=True) + 2_000_000_000)
    for free_bytes, purpose, keeps in ((plenty, check, True), (plenty, CHECK, False), (plenty - 100, check, False)):
        assert plan(host(free_bytes), host(free_bytes), purpose).keeps_maps is keeps
    assert not plan(card(ENDLESS), host(ENDLESS), check).keeps_maps


def test_a_system_that_does_not_tell_its_memory_is_trusted() -> None:
    assert plan(host(None), host(None)) == RunPlan("cpu")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_with_less_memory_the_largest_parts_that_fit_are_used_and_told(purpose: Purpose) -> None:
    run = memory(purpose)
    needs = [run.at(step).host_bytes(is_on_host=True) for step in range(run.steps)]
    assert run.steps > 2
    for step, need in enumerate(needs):
        small = host(room_for(need))
        found = plan(small, small, purpose)
        assert found.memory_step == min(n for n, other in enumerate(needs) if other <= need)
        assert found.warnings == ((IN_PARTS,) if found.memory_step else ())
        assert step > 0 or found.memory_step == 0


def test_a_card_is_used_with_the_largest_parts_that_it_can_hold() -> None:
    run = memory(device="cuda")
    for step in (0, run.steps - 1):
        found = plan(card(room_for(run.at(step).card_bytes())), host())
        assert (found.device, found.memory_step) == ("cuda:0", step)


def test_a_card_that_cannot_is_replaced_by_the_cpu_and_told() -> None:
    found = plan(card(1000), host())
    assert found.device == "cpu"
    assert "Card 0 has too little free memory, so the CPU was used" in found.warnings


def test_a_card_does_not_help_when_the_main_memory_cannot_hold_the_image() -> None:
    with pytest.raises(ResourceError, match="are free"):
        plan(card(ENDLESS), host(1000))


@pytest.mark.parametrize("purpose", PURPOSES)
def test_the_main_memory_beside_a_card_is_planned_and_its_shortage_is_not_called_the_card_s(purpose: Purpose) -> None:
    run = memory(purpose, "cuda")
    needs = [run.at(step).host_bytes(is_on_host=False) for step in range(run.steps)]
    # Where the network runs on the card its parts change nothing in main memory, so that one question is enough.
    assert set(needs) == {run.however_small().host_bytes(is_on_host=False)}
    assert plan(card(ENDLESS), host(room_for(min(needs))), purpose).device == "cuda:0"
    with pytest.raises(ResourceError, match=r"needs at least .* of memory, and .* are free") as told:
        plan(card(ENDLESS), host(room_for(min(needs)) - 100), purpose)
    assert "Card" not in str(told.value)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_cannot_fit_is_refused_with_both_sizes_and_advice(purpose: Purpose) -> None:
    small = host(50_000_000)
    with pytest.raises(
        ResourceError, match=r"needs (about|at least) \d+ MB of memory, and 50 MB are free.*crop the image"
    ):
        plan(small, small, purpose)


def test_sizes_beyond_a_gigabyte_are_told_in_gigabytes() -> None:
    huge = Volume(np.broadcast_to(np.float32(0), (300, 1000, 1000)), np.diag([2.0, 2.0, 2.0, 1.0]))
    with pytest.raises(ResourceError, match=r"needs at least \d+\.\d GB of memory, and 0 MB are free"):
        plan(host(1000), host(1000), TASK, huge)


def test_just_enough_for_the_smallest_parts_is_enough_and_a_little_less_is_not() -> None:
    run = memory()
    least = min(run.at(step).host_bytes(is_on_host=True) for step in range(run.steps))
    assert plan(host(room_for(least)), host(room_for(least))).memory_step == run.steps - 1
    short = host(room_for(least) - 100)
    with pytest.raises(ResourceError) as refused:
        plan(short, short)
    told, free = (float(word) for word in str(refused.value).split() if word.isdigit())
    assert told >= free, "what is needed is more than what is free"


@pytest.mark.parametrize(("share", "fits"), [(0.899, True), (0.901, False)])
def test_a_run_may_take_nine_tenths_of_what_is_free(share: float, fits: bool) -> None:
    """The last tenth is for others, on a card and in main memory."""
    main_memory = host(round(memory().at(0).host_bytes(is_on_host=True) / share))
    assert (plan(main_memory, main_memory).memory_step == 0) is fits
    on_card = memory(device="cuda").at(0).card_bytes()
    assert (plan(card(round(on_card / share)), host()) == RunPlan("cuda:0")) is fits
    beside_card = host(round(memory().however_small().host_bytes(is_on_host=False) / share))
    if fits:
        assert plan(card(ENDLESS), beside_card).device == "cuda:0"
    else:
        with pytest.raises(ResourceError, match="are free"):
            plan(card(ENDLESS), beside_card)


def test_a_check_needs_less_than_a_segmentation() -> None:
    check, labels = (memory(purpose).at(0).host_bytes(is_on_host=True) for purpose in (CHECK, TASK))
    assert check < labels


@pytest.mark.parametrize(
    ("change", "purpose", "planar"),
    [({}, Purpose("teeth"), False), ({"tasks": ()}, Purpose("auto"), False), ({}, TASK, True), ({}, CHECK, True)],
)
def test_what_the_model_cannot_do_is_left_to_the_predictor_to_refuse(
    change: dict[str, object], purpose: Purpose, planar: bool
) -> None:
    volume = Volume(np.zeros((1, 8, 8), np.float32), np.eye(4)) if planar else LARGE
    assert plan_run(replace(MANIFEST, **change), CANDIDATES, volume, purpose, host(1), host(1)) == RunPlan("cpu")


@pytest.mark.parametrize("task", [TASK.task, "auto"])
def test_the_parts_of_a_plan_reach_the_network_and_do_not_change_the_result(tmp_path, task: str) -> None:
    predictor = Predictor.load(write_tiny_model(tmp_path / "tiny.mts.safetensors"), "cpu")
    voxels = np.random.default_rng(2).normal(100.0, 20.0, (12, 90, 30)).astype(np.float32)
    volume = Volume(voxels, np.diag([2.0, 2.0, 2.0, 1.0]))
    whole = predictor.segment(volume, task)
    steps = RunMemory(
        predictor.manifest, predictor.candidate_profiles(volume), volume, Purpose(task), torch.device("cpu")
    ).steps
    assert steps > 2
    for step in range(1, steps):
        predictor.memory_step = step
        found = predictor.segment(volume, task)
        np.testing.assert_array_equal(found.labels, whole.labels)
        np.testing.assert_allclose(found.uncertainty, whole.uncertainty, atol=1e-4)
        assert found.verdict.score == pytest.approx(whole.verdict.score, rel=1e-3)
        assert found.warnings == whole.warnings


def test_where_only_the_further_looks_do_not_fit_the_refusal_says_what_to_leave_out() -> None:
    thorough, device = replace(TASK, is_thorough=True), host(1)
    with pytest.raises(ResourceError, match="Leave the thorough check out, or close other programs"):
        plan(device, device, thorough)
    with pytest.raises(ResourceError) as refusal:
        plan(device, device)
    assert "thorough" not in str(refusal.value)
