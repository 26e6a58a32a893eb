"""The estimate of memory against a trace of the network's code, against numpy's own books, and against real runs."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from MultiTaskSegLib.runtime.labelling import label_image
from MultiTaskSegLib.runtime.manifest import LabelInfo, TaskInfo
from MultiTaskSegLib.runtime.memory_estimate import estimate_memory, network_bytes
from MultiTaskSegLib.runtime.network import Architecture, SegmentationNetwork
from MultiTaskSegLib.runtime.profile import Intensity, Profile, prepare
from MultiTaskSegLib.runtime.tiling import MAX_TILE_VOXELS
from MultiTaskSegLib.runtime.volume import Volume
from MultiTaskSegLib.worker_process import worker_environment
from Testing.runtime.tensor_trace import traced

DEEP = Architecture((16, 32, 64, 128), ((1, 2, 2), (2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 4, 48)
FLAT = Architecture((24, 48, 96), ((1, 2, 2), (1, 2, 2)), ((1, 3, 3),) * 3, 18)
NARROW = Architecture((4, 64), ((2, 2, 2),), ((3, 3, 3),) * 2, 200)
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


@pytest.mark.parametrize("architecture", [DEEP, FLAT, NARROW])
@pytest.mark.parametrize("channels", [2, 18])
def test_the_need_of_the_network_bounds_a_trace_of_its_own_code(architecture, channels):
    sizes = (32, 64, 64)
    with torch.device("meta"):
        network = SegmentationNetwork(architecture)

    def run() -> None:
        maps = network.features(torch.empty((1, 1, *sizes), device="meta"))
        logits = network.head(maps["decoder0"])
        torch.softmax(logits[:, :channels] / 1.5, dim=1)

    traced_bytes = traced(run).peak_with_copies_bytes
    assert traced_bytes <= network_bytes(architecture, int(np.prod(sizes)), channels) <= 1.35 * traced_bytes


@pytest.mark.parametrize(("architecture", "stages"), [(DEEP, 4), (FLAT, 2), (NARROW, 1)])
def test_the_need_of_a_check_bounds_a_trace_of_the_encoder(architecture, stages):
    sizes = (32, 64, 64)
    with torch.device("meta"):
        network = SegmentationNetwork(architecture)
    trace = traced(lambda: network.encoder_features(torch.empty((1, 1, *sizes), device="meta"), stages))
    estimate = network_bytes(architecture, int(np.prod(sizes)), 0, stages)
    assert trace.peak_with_copies_bytes <= estimate <= 1.35 * trace.peak_with_copies_bytes


def test_a_trace_forgets_tensors_that_are_gone():
    def run() -> None:
        for _ in range(3):
            torch.empty(1000, device="meta") + 1

    trace = traced(run)
    assert trace.peak_bytes == 2 * 4000
    assert trace.live_bytes == 0


@pytest.mark.parametrize("spacing_mm", [0.5, 1.0, 2.0])
def test_preparing_takes_no_more_than_estimated(spacing_mm):
    volume = noise(spacing_mm=spacing_mm)
    need = estimate_memory(DEEP, [(profile(1.0), [task(2)])], volume, MAX_TILE_VOXELS).preparing_bytes
    # The image itself was there before.
    assert volume.voxels.nbytes + allocated(lambda: prepare(volume, profile(1.0))) <= need


@pytest.mark.parametrize("spacing_mm", [0.5, 1.0, 1.4])
@pytest.mark.parametrize("labels", [1, 12])
@pytest.mark.parametrize("more", [{}, {"single_component": True, "surface_temperature": 1.7}])
def test_labelling_takes_no_more_than_estimated(spacing_mm, labels, more):
    volume, wanted = noise(spacing_mm=spacing_mm), task(labels, **more)
    prepared = prepare(volume, wanted.profile)
    rng = np.random.default_rng(4)
    logits = [200 * gaussian_filter(rng.normal(size=prepared.voxels.shape), 4) for _ in range(1 + labels)]
    powers = np.exp(np.stack(logits) - np.max(logits, axis=0))
    probabilities = (powers / powers.sum(axis=0)).astype(np.float16)
    estimate = estimate_memory(DEEP, [(wanted.profile, [wanted])], volume, MAX_TILE_VOXELS)
    held = volume.voxels.nbytes + prepared.voxels.nbytes + probabilities.nbytes
    measured = held + allocated(lambda: label_image(probabilities, wanted, prepared))
    assert measured <= estimate.labelling_bytes <= 3 * measured


def test_the_need_of_the_network_stops_growing_with_the_image_when_tiles_are_full():
    groups = [(profile(1.0), [task(2)])]
    small, large = (
        estimate_memory(DEEP, groups, Volume(np.broadcast_to(np.float32(0), shape), np.eye(4)), 500_000)
        for shape in ((200, 200, 200), (400, 400, 400))
    )
    assert large.network_bytes == pytest.approx(small.network_bytes, rel=0.3)
    assert large.labelling_bytes == pytest.approx(8 * small.labelling_bytes, rel=0.01)


def test_each_profile_that_is_tried_adds_what_it_leaves():
    volume = noise()
    one = estimate_memory(DEEP, [(profile(1.0), [task(2)])], volume, MAX_TILE_VOXELS)
    two = estimate_memory(DEEP, [(profile(1.0), [task(2)]), (profile(1.2), [task(2)])], volume, MAX_TILE_VOXELS)
    assert two.running_bytes > one.running_bytes
    assert two.network_bytes == one.network_bytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures the Linux way")
@pytest.mark.parametrize(
    "run", ["48 96 96 1 Dataset101_HippocampusT1", "48 96 96 1 check", "64 64 64 0.15 Dataset105_MouseBrainT2"]
)
def test_the_estimate_bounds_the_measured_peak_of_a_real_run(run):
    command = [sys.executable, "-m", "Testing.runtime.memory_probe", *run.split()]
    done = subprocess.run(command, capture_output=True, text=True, env=worker_environment(), check=True)
    peak, estimate = (int(number) for number in done.stdout.split())
    assert peak <= estimate <= 3 * peak
