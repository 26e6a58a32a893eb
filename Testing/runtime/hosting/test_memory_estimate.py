"""The estimate of memory against a trace of the network's code, against numpy's own books, and against real runs."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.hosting.memory_estimate import MemoryEstimate, estimate_memory, kept_maps, network_bytes
from MultiTaskSegLib.runtime.image.input_frame import InputFrame, input_frame
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream
from MultiTaskSegLib.runtime.labels.labelling import finished
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.network_stream import SLAB_VOXELS, NetworkStream
from MultiTaskSegLib.runtime.prediction.network_pass import IN_TILES, KEPT_BYTES
from MultiTaskSegLib.worker_process import worker_environment
from Testing.runtime.tensor_trace import traced

DEEP = Architecture((16, 32, 64, 128), ((1, 2, 2), (2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 4, 48)
FLAT = Architecture((24, 48, 96), ((1, 2, 2), (1, 2, 2)), ((1, 3, 3),) * 3, 18)
NARROW = Architecture((4, 6), ((2, 2, 2),), ((3, 3, 3),) * 2, 5)
SHAPE = (40, 44, 48)


def profile(spacing_mm: float) -> Profile:
    return Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), (spacing_mm,) * 3)


def task(labels: int, spacing_mm: float = 1.0, **more: object) -> TaskInfo:
    infos = tuple(LabelInfo(1 + n, f"l{n}", f"l {n}", (0, 0, 0), "") for n in range(labels))
    return TaskInfo("t", "MR", "none", infos, profile(spacing_mm), 0, 1.0, "", 1, 1, **more)


def noise(shape: tuple[int, int, int] = SHAPE, spacing_mm: float = 1.0) -> Volume:
    voxels = np.random.default_rng(3).normal(100.0, 20.0, shape).astype(np.float32)
    return Volume(voxels, np.diag([spacing_mm] * 3 + [1.0]))


def allocated(action) -> int:
    """The most bytes of numpy arrays that ``action`` held at the same time."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def stream_of(architecture: Architecture, grid: tuple[int, int, int], slab_voxels: int) -> NetworkStream:
    backend = TorchBackend(SegmentationNetwork(architecture), torch.device("cpu"))
    return NetworkStream(backend, architecture, np.zeros(grid, np.float32), slab_voxels)


@pytest.mark.parametrize(
    ("architecture", "grid"),
    [(DEEP, (32, 64, 64)), (FLAT, (1, 128, 128)), (FLAT, (20, 64, 64)), (NARROW, (64, 64, 64))],
)
@pytest.mark.parametrize("slab_voxels", [SLAB_VOXELS, 1])
def test_the_need_of_the_network_bounds_a_trace_of_its_own_code(architecture, grid, slab_voxels):
    stream = stream_of(architecture, grid, slab_voxels)
    trace = traced(lambda: list(map(id, stream.decode())))
    need = network_bytes(architecture, grid, slab_voxels)
    assert trace.peak_with_copies_bytes <= need <= 1.8 * trace.peak_with_copies_bytes


@pytest.mark.parametrize(
    ("architecture", "grid", "stages"), [(DEEP, (48, 64, 64), 4), (FLAT, (20, 64, 64), 2), (NARROW, (96, 64, 64), 1)]
)
@pytest.mark.parametrize("slab_voxels", [SLAB_VOXELS, 1])
def test_the_need_of_a_check_bounds_a_trace_of_the_encoder(architecture, grid, stages, slab_voxels):
    stream = stream_of(architecture, grid, slab_voxels)
    trace = traced(lambda: stream.encode(stages, lambda name, slab: None))
    need = network_bytes(architecture, grid, slab_voxels, stages)
    assert trace.peak_with_copies_bytes <= need <= 3 * trace.peak_with_copies_bytes


@pytest.mark.parametrize("keep_bytes", [0, 500_000, 10**9])
def test_the_maps_that_are_kept_are_those_that_the_stream_keeps(keep_bytes):
    grid = (32, 64, 64)
    kept = stream_of(DEEP, grid, 1).encode(4, lambda name, slab: None, keep_bytes)
    expected = {level: sum(queue.pop().nbytes for _ in range(queue.slices)) for level, queue in kept.items()}
    assert kept_maps(DEEP, grid, keep_bytes) == expected


def test_a_trace_forgets_tensors_that_are_gone():
    def run() -> None:
        for _ in range(3):
            torch.empty(1000, device="meta") + 1

    trace = traced(run)
    assert trace.peak_bytes == 2 * 4000
    assert trace.live_bytes == 0


def frames(volume: Volume, *profiles: Profile) -> list[InputFrame]:
    return [input_frame(volume, wanted) for wanted in profiles]


@pytest.mark.parametrize("spacing_mm", [0.5, 1.0, 2.0])
def test_preparing_takes_no_more_than_estimated(spacing_mm):
    volume = noise(spacing_mm=spacing_mm)
    need = estimate_memory(DEEP, frames(volume, profile(1.0)), [task(2)], volume, SLAB_VOXELS).preparing_bytes
    # The image itself was there before.
    assert volume.voxels.nbytes + allocated(lambda: prepare(volume, profile(1.0))) <= need


@pytest.mark.parametrize("spacing_mm", [0.5, 1.0, 1.4])
@pytest.mark.parametrize("is_single", [False, True])
def test_finishing_the_labels_takes_no_more_than_estimated(spacing_mm, is_single):
    volume, wanted = noise(spacing_mm=spacing_mm), task(3, single_component=is_single)
    prepared = prepare(volume, wanted.profile)
    stream = LabelStream(wanted, prepared.voxels.shape, prepared.canonical_shape)
    logits = np.random.default_rng(4).normal(size=(4, *prepared.voxels.shape)).astype(np.float32)
    stream.push_logits(torch.from_numpy(logits))
    need = estimate_memory(DEEP, frames(volume, wanted.profile), [wanted], volume, SLAB_VOXELS).finishing_bytes
    running = 9 * volume.voxels.size + (stream.running.background().nbytes if is_single else 0)
    held = volume.voxels.nbytes + prepared.voxels.nbytes + running
    measured = held + allocated(lambda: finished(stream.running, wanted, prepared))
    assert measured <= need <= 4 * measured


def test_a_quarter_more_is_asked_for_than_the_arrays_take():
    """What lies between blocks of different sizes cannot all be used again."""
    estimate = MemoryEstimate(preparing_bytes=800, running_bytes=100, network_bytes=4000, finishing_bytes=400)
    assert estimate.card_bytes() == 5000
    assert estimate.host_bytes(is_on_host=True) == 5125
    assert estimate.host_bytes(is_on_host=False) == 1000
    assert replace(estimate, finishing_bytes=8000).host_bytes(is_on_host=True) == 10_000


def test_the_need_of_the_network_does_not_grow_with_the_depth_of_the_image():
    shallow, deep = (network_bytes(DEEP, (depth, 256, 256), SLAB_VOXELS) for depth in (100, 1000))
    assert deep == shallow


def test_smaller_slabs_need_less_and_tiles_the_least():
    volume = Volume(np.broadcast_to(np.float32(0), (300, 300, 300)), np.eye(4))
    sizes = (SLAB_VOXELS, 1, IN_TILES)
    needs = [
        estimate_memory(DEEP, frames(volume, profile(1.0)), [task(2)], volume, size).network_bytes for size in sizes
    ]
    assert needs == sorted(needs, reverse=True)
    assert needs[-1] < needs[0]


def test_a_second_profile_that_is_tried_adds_what_the_first_one_leaves():
    volume, tasks = noise(), [task(2), task(3)]
    one = estimate_memory(DEEP, frames(volume, profile(1.0)), tasks, volume, SLAB_VOXELS)
    two = estimate_memory(DEEP, frames(volume, profile(1.0), profile(1.0)), tasks, volume, SLAB_VOXELS)
    kept = sum(kept_maps(DEEP, SHAPE, KEPT_BYTES).values())
    assert two.network_bytes - one.network_bytes == kept
    assert two.running_bytes - one.running_bytes == volume.voxels.nbytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures the Linux way")
@pytest.mark.parametrize(
    "run", ["48 96 96 1 Dataset101_HippocampusT1", "48 96 96 1 check", "64 64 64 0.15 Dataset105_MouseBrainT2"]
)
def test_the_estimate_bounds_the_measured_peak_of_a_real_run(run):
    command = [sys.executable, "-m", "Testing.runtime.memory_probe", *run.split()]
    done = subprocess.run(command, capture_output=True, text=True, env=worker_environment(), check=True)
    peak, estimate = (int(number) for number in done.stdout.split())
    assert peak <= estimate <= 4 * peak
