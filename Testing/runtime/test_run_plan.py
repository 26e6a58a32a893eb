"""Where a run goes: large tiles, smaller tiles, the CPU instead of a card, or a refusal in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.compute_device import ComputeDevice
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.network import Architecture
from MultiTaskSegLib.runtime.network_pass import SMALLEST_TILE_VOXELS
from MultiTaskSegLib.runtime.run_plan import SMALLER_TILES, USABLE_SHARE, estimate_for, plan_run
from MultiTaskSegLib.runtime.tiling import MAX_TILE_VOXELS
from MultiTaskSegLib.runtime.volume import Volume
from Testing.runtime.tiny_model import tiny_manifest

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


def need(tile: int, task: str | None = TASK, is_on_host: bool = True) -> int:
    estimate = estimate_for(MANIFEST, CANDIDATES, LARGE, task, tile)
    return 1 + int(estimate.host_bytes(is_on_host) / USABLE_SHARE)


def plan(device: ComputeDevice, main_memory: ComputeDevice, task: str | None = TASK):
    return plan_run(MANIFEST, CANDIDATES, LARGE, task, device, main_memory)


def test_with_enough_memory_the_usual_tiles_are_used_without_a_word():
    assert (plan(host(), host()).max_tile_voxels, plan(host(), host()).warnings) == (MAX_TILE_VOXELS, ())


def test_a_system_that_does_not_tell_its_memory_is_trusted():
    assert plan(host(None), host(None)).max_tile_voxels == MAX_TILE_VOXELS


def test_with_less_memory_the_largest_tiles_that_fit_are_used_and_told():
    small = host(need(MAX_TILE_VOXELS // 4))
    found = plan(small, small)
    assert found.max_tile_voxels == MAX_TILE_VOXELS // 4
    assert found.warnings == (SMALLER_TILES,)


def test_a_card_is_used_when_it_can_hold_the_smallest_tiles():
    estimate = estimate_for(MANIFEST, CANDIDATES, LARGE, TASK, MAX_TILE_VOXELS)
    assert plan(card(1 + int(estimate.card_bytes() / USABLE_SHARE)), host()).device == "cuda:0"


def test_a_card_that_cannot_is_replaced_by_the_cpu_and_told():
    found = plan(card(1000), host())
    assert found.device == "cpu"
    assert "Card 0 has too little free memory, so the CPU was used" in found.warnings


def test_a_card_does_not_help_when_the_main_memory_cannot_hold_the_image():
    with pytest.raises(ResourceError, match="are free"):
        plan(card(ENDLESS), host(1000))


def test_what_cannot_fit_is_refused_with_both_sizes_and_advice():
    small = host(100_000_000)
    with pytest.raises(ResourceError, match=r"needs about \d+\.\d GB of memory, and 0\.1 GB are free.*crop the image"):
        plan(small, small)


def test_a_little_more_than_the_smallest_need_is_enough_and_a_little_less_is_not():
    smallest = MAX_TILE_VOXELS
    while smallest // 2 >= SMALLEST_TILE_VOXELS:
        smallest //= 2
    assert plan(host(need(smallest)), host(need(smallest))).device == "cpu"
    with pytest.raises(ResourceError):
        plan(host(need(smallest) - 10), host(need(smallest) - 10))


def test_a_check_needs_less_than_a_segmentation():
    assert need(MAX_TILE_VOXELS, None) < need(MAX_TILE_VOXELS, TASK)


def test_a_task_that_the_model_does_not_know_is_left_to_the_predictor_to_refuse():
    assert plan(host(1), host(1), "teeth").device == "cpu"
