"""Where a run goes: large parts, smaller parts, the CPU instead of a card, or a refusal in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.hosting.memory_estimate import estimate_memory
from MultiTaskSegLib.runtime.hosting.run_plan import RunPlan, estimator, plan_run
from MultiTaskSegLib.runtime.image.input_frame import input_frame
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.compute_device import ComputeDevice
from MultiTaskSegLib.runtime.network.architecture import Architecture
from MultiTaskSegLib.runtime.network.network_stream import CARD_SLAB_VOXELS, SLAB_VOXELS, NetworkStream
from MultiTaskSegLib.runtime.prediction.network_pass import IN_PARTS, IN_TILES
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import tiny_manifest, write_tiny_model

# Wide enough that the network takes most of the memory.
WIDE = Architecture(channels=(64, 64), strides=((2, 2, 2),), kernels=((3, 3, 3), (3, 3, 3)), outputs=5)
MANIFEST = replace(tiny_manifest(), architecture=WIDE)
CANDIDATES = [MANIFEST.tasks[0].profile]
TASK = MANIFEST.tasks[0].name
# Nothing is allocated: only the shape counts.
LARGE = Volume(np.broadcast_to(np.float32(0), (300, 300, 300)), np.diag([2.0, 2.0, 2.0, 1.0]))
ENDLESS = 10**12


def host(free_bytes: int | None = ENDLESS) -> ComputeDevice:
    return ComputeDevice("cpu", "CPU", free_bytes, free_bytes)


def card(free_bytes: int) -> ComputeDevice:
    return ComputeDevice("cuda:0", "Card 0", free_bytes, free_bytes)


def need(slab_voxels: int, task: str | None = TASK, is_on_host: bool = True) -> int:
    """Free memory that is just enough."""
    estimate = estimator(MANIFEST, CANDIDATES, LARGE, task)(slab_voxels)
    return 1 + int(estimate.host_bytes(is_on_host) / 0.9)


def plan(device: ComputeDevice, main_memory: ComputeDevice, task: str | None = TASK):
    return plan_run(MANIFEST, CANDIDATES, LARGE, task, device, main_memory)


def test_with_enough_memory_the_usual_parts_are_used_without_a_word():
    assert (plan(host(), host()).max_slab_voxels, plan(host(), host()).warnings) == (None, ())


def test_a_system_that_does_not_tell_its_memory_is_trusted():
    assert plan(host(None), host(None)).max_slab_voxels is None


@pytest.mark.parametrize("slab_voxels", [SLAB_VOXELS // 16, 1, IN_TILES])
def test_with_less_memory_the_largest_parts_that_fit_are_used_and_told(slab_voxels):
    small = host(need(slab_voxels))
    found = plan(small, small)
    # Several sizes may need the same, as no slab is thinner than one step of the network.
    assert need(found.max_slab_voxels) == need(slab_voxels)
    assert found.warnings == (IN_PARTS,)


def test_a_card_is_used_when_it_can_hold_the_usual_parts():
    estimate = estimator(MANIFEST, CANDIDATES, LARGE, TASK)(CARD_SLAB_VOXELS)
    found = plan(card(1 + int(estimate.card_bytes() / 0.9)), host())
    assert (found.device, found.max_slab_voxels) == ("cuda:0", None)


def test_a_card_that_cannot_is_replaced_by_the_cpu_and_told():
    found = plan(card(1000), host())
    assert found.device == "cpu"
    assert "Card 0 has too little free memory, so the CPU was used" in found.warnings


def test_a_card_does_not_help_when_the_main_memory_cannot_hold_the_image():
    with pytest.raises(ResourceError, match="are free"):
        plan(card(ENDLESS), host(1000))


def test_what_cannot_fit_is_refused_with_both_sizes_and_advice():
    small = host(100_000_000)
    with pytest.raises(ResourceError, match=r"needs about \d+\.\d GB of memory, and 100 MB are free.*crop the image"):
        plan(small, small)


def test_sizes_far_below_a_gigabyte_are_told_in_megabytes():
    with pytest.raises(ResourceError, match="and 0 MB are free"):
        plan(host(1000), host(1000))


def test_just_enough_for_tiles_is_enough_and_a_little_less_is_not():
    assert plan(host(need(IN_TILES)), host(need(IN_TILES))).max_slab_voxels == IN_TILES
    with pytest.raises(ResourceError):
        plan(host(need(IN_TILES) - 10), host(need(IN_TILES) - 10))


@pytest.mark.parametrize(("share", "fits"), [(0.899, True), (0.901, False)])
def test_a_run_may_take_nine_tenths_of_what_is_free(share, fits):
    """The last tenth is for others, on a card and in main memory."""
    on_host = estimator(MANIFEST, CANDIDATES, LARGE, TASK)(SLAB_VOXELS).host_bytes(is_on_host=True)
    main_memory = host(round(on_host / share))
    assert (plan(main_memory, main_memory).max_slab_voxels is None) is fits
    on_card = estimator(MANIFEST, CANDIDATES, LARGE, TASK)(CARD_SLAB_VOXELS).card_bytes()
    assert (plan(card(round(on_card / share)), host()) == RunPlan("cuda:0")) is fits
    beside_card = estimator(MANIFEST, CANDIDATES, LARGE, TASK)(CARD_SLAB_VOXELS).host_bytes(is_on_host=False)
    if fits:
        assert plan(card(ENDLESS), host(round(beside_card / share))).device == "cuda:0"
    else:
        with pytest.raises(ResourceError, match="are free"):
            plan(card(ENDLESS), host(round(beside_card / share)))


def test_parts_are_quartered_while_memory_is_short_and_none_that_fits_is_passed_over():
    """With planes so small that a part has many of them, every quarter takes less than the last."""
    needle = Volume(np.broadcast_to(np.float32(0), (4000, 20, 20)), np.diag([2.0, 2.0, 2.0, 1.0]))
    sizes = [SLAB_VOXELS // 4**power for power in range(4)]
    for size in sizes:
        estimate = estimator(MANIFEST, CANDIDATES, needle, TASK)(size)
        memory = host(1 + int(estimate.host_bytes(is_on_host=True) / 0.9))
        found = plan_run(MANIFEST, CANDIDATES, needle, TASK, memory, memory)
        assert (found.max_slab_voxels or SLAB_VOXELS) == size


def test_a_check_runs_the_encoder_up_to_the_last_stage_that_the_signature_looks_at():
    encoders = Architecture((8, 16, 32), ((2, 2, 2),) * 2, ((3, 3, 3),) * 3, 5)
    for layers, stages in ((("encoder0",), 1), (("encoder0", "encoder1"), 2), (("encoder0", "decoder0"), None)):
        manifest = replace(MANIFEST, architecture=encoders, ood=replace(MANIFEST.ood, layers=layers))
        expected = estimate_memory(
            encoders, [input_frame(LARGE, p) for p in CANDIDATES], [], LARGE, SLAB_VOXELS, stages
        )
        assert estimator(manifest, CANDIDATES, LARGE, None)(SLAB_VOXELS) == expected


def test_a_check_needs_less_than_a_segmentation():
    assert need(SLAB_VOXELS, None) < need(SLAB_VOXELS, TASK)


def test_a_task_that_the_model_does_not_know_is_left_to_the_predictor_to_refuse():
    assert plan(host(1), host(1), "teeth").device == "cpu"


@pytest.mark.parametrize("max_slab_voxels", [1000, 1, IN_TILES])
def test_the_parts_of_a_plan_reach_the_network_and_do_not_change_the_labels(tmp_path, max_slab_voxels):
    predictor = Predictor.load(write_tiny_model(tmp_path / "tiny.mts.safetensors"), "cpu")
    voxels = np.random.default_rng(2).normal(100.0, 20.0, (30, 40, 50)).astype(np.float32)
    volume = Volume(voxels, np.diag([2.0, 2.0, 2.0, 1.0]))
    whole = predictor.segment(volume, TASK)
    predictor.max_slab_voxels = max_slab_voxels
    # Tiles keep their logits as float16, which decides where two labels are as good as equal.
    assert (predictor.segment(volume, TASK).labels == whole.labels).mean() > 0.999


def test_the_step_says_when_memory_was_short(tmp_path, monkeypatch):
    predictor = Predictor.load(write_tiny_model(tmp_path / "tiny.mts.safetensors"), "cpu")
    encoded = NetworkStream.decode
    failures = iter([MemoryError()])

    def decode(*arguments):
        for failure in failures:
            raise failure
        return encoded(*arguments)

    monkeypatch.setattr(NetworkStream, "decode", decode)
    steps = []
    volume = Volume(np.random.default_rng(2).normal(size=(8, 8, 8)).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    found = predictor.segment(volume, TASK, lambda fraction, step: steps.append(step))
    assert "network, with less memory" in steps
    assert IN_PARTS in found.warnings
