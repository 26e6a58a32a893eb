"""The estimate of memory against numpy's and torch's own books, stage by stage, and against real runs."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.hosting.candidate_memory import CandidateMemory, NetworkMemory
from MultiTaskSegLib.runtime.hosting.memory_estimate import MemoryEstimate, RunMemory, StageMemory, waiting_bytes
from MultiTaskSegLib.runtime.hosting.purpose import CHECK, LOCATE, Purpose
from MultiTaskSegLib.runtime.image.input_frame import input_frame
from MultiTaskSegLib.runtime.image.preparation import prepare, preparing_bytes
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream, RunningLabels
from MultiTaskSegLib.runtime.labels.labelling import finished, finishing_bytes
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, Manifest, TaskInfo
from MultiTaskSegLib.runtime.network.architecture import Architecture
from MultiTaskSegLib.runtime.network.parts import strips
from MultiTaskSegLib.runtime.network.tensor_ledger import TensorLedger
from MultiTaskSegLib.runtime.ood.cell_features import describing_bytes, image_cells
from MultiTaskSegLib.runtime.ood.cell_reference import CellMemory, locating_bytes, on_image_grid
from MultiTaskSegLib.runtime.ood.spectrum import SpectrumCollector
from MultiTaskSegLib.runtime.thorough.change import stretched_copies
from MultiTaskSegLib.worker_process import worker_environment
from Testing.runtime.tiny_model import tiny_manifest

DEEP = Architecture((16, 32, 64, 128), ((1, 2, 2), (2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 4, 48)
ENCODERS = ("encoder0", "encoder1", "encoder2", "encoder3")
SHAPE = (40, 44, 48)
CPU, CARD = torch.device("cpu"), torch.device("cuda")


def profile(spacing_mm: float) -> Profile:
    return Profile(f"p{spacing_mm}", "spacing", Intensity("percentile", 1.0, 99.0), (spacing_mm,) * 3)


def task(labels: int, spacing_mm: float = 1.0, **more: object) -> TaskInfo:
    infos = tuple(LabelInfo(1 + n, f"l{n}", f"l {n}", (0, 0, 0), "") for n in range(labels))
    facts = {"name": f"t{labels}", "surface_temperature": 2.0, **more}
    plain = TaskInfo("t", "MR", "none", infos, profile(spacing_mm), 0, 1.0, "", 1, 1)
    return replace(plain, **facts)


def noise(shape: tuple[int, int, int] = SHAPE, spacing_mm: float = 1.0) -> Volume:
    voxels = np.random.default_rng(3).normal(100.0, 20.0, shape).astype(np.float32)
    return Volume(voxels, np.diag([spacing_mm] * 3 + [1.0]))


def manifest(*tasks: TaskInfo, layers: tuple[str, ...] = ENCODERS) -> Manifest:
    plain = tiny_manifest()
    return replace(plain, architecture=DEEP, tasks=tasks, ood=replace(plain.ood, layers=layers))


def run_memory(
    *tasks: TaskInfo, purpose: Purpose, volume: Volume | None = None, device: torch.device = CPU
) -> RunMemory:
    """Of a model with these tasks, all of whose profiles are tried."""
    candidates = list(dict.fromkeys(t.profile for t in tasks))
    return RunMemory(manifest(*tasks), candidates, volume or noise(), purpose, device, 4000)


def allocated(action: Callable[[], object]) -> int:
    """The most bytes of numpy arrays and of tensors that ``action`` held, the two peaks added up."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with torch.inference_mode(), TensorLedger() as ledger:
            action()
        return tracemalloc.get_traced_memory()[1] - before + ledger.peak_bytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("spacing_mm", [0.5, 1.0, 2.0])
def test_preparing_takes_no_more_than_estimated(spacing_mm: float) -> None:
    volume = noise(spacing_mm=spacing_mm)
    need = preparing_bytes(input_frame(volume, profile(1.0)))
    measured = allocated(lambda: prepare(volume, profile(1.0)))
    assert 0.5 * need <= measured <= need + 300_000


@pytest.mark.parametrize("labels", [1, 5, 37])
@pytest.mark.parametrize("spacing_mm", [0.5, 1.0, 1.4])
def test_labelling_slab_by_slab_takes_no_more_than_estimated(labels: int, spacing_mm: float) -> None:
    volume, wanted = noise(spacing_mm=spacing_mm), task(labels, single_component=True)
    frame = input_frame(volume, wanted.profile)
    grid, shape, slab = frame.grid_shape, frame.window.shape, 8
    logits = 3 * torch.randn((1 + labels, slab, *grid[1:]), generator=torch.Generator().manual_seed(1))
    stream = LabelStream(wanted, grid, shape)

    def work() -> None:
        """All slabs, the same each time."""
        for _ in range(0, grid[0], slab):
            stream.push_logits(logits)

    need = LabelStream.working_bytes(1 + labels, grid, shape, slab)
    # The logits were there before; what is remembered of the background counts among the maps.
    assert allocated(work) + logits.nbytes <= need + RunningLabels.held_bytes(shape, True)


@pytest.mark.parametrize("spacing_mm", [0.5, 1.0, 1.4])
@pytest.mark.parametrize("is_single", [False, True])
@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("is_cut", [False, True])
def test_finishing_the_labels_takes_no_more_than_estimated(
    spacing_mm: float, is_single: bool, is_turned: bool, is_cut: bool
) -> None:
    volume, wanted = noise(spacing_mm=spacing_mm), task(3, single_component=is_single)
    if is_cut:
        volume.voxels[:10] = volume.voxels.min()
    if is_turned:
        volume = Volume(volume.voxels, np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0]))
    prepared = prepare(volume, wanted.profile)
    stream = LabelStream(wanted, prepared.voxels.shape, prepared.canonical_shape)
    logits = np.random.default_rng(4).normal(size=(4, *prepared.voxels.shape)).astype(np.float32)
    stream.push_logits(torch.from_numpy(logits))
    need = finishing_bytes(prepared.frame, is_single)
    measured = allocated(lambda: finished(stream.running, wanted, prepared))
    assert measured <= need + 300_000
    assert need <= 2 * measured


def test_spectra_take_no_more_than_estimated() -> None:
    collector = SpectrumCollector(DEEP, ENCODERS, (40, 64, 64), 1e-4)
    observe = collector.watch(strips((40, 64, 64), None, 0)[0])
    maps = [
        torch.rand((1, c, 8 // z, 64 // y, 64 // x))
        for c, (z, y, x) in zip(DEEP.channels, DEEP.level_strides, strict=True)
    ]

    def work() -> None:
        """Five slabs of each layer."""
        for _ in range(5):
            for name, slab in zip(ENCODERS, maps, strict=True):
                observe(name, slab)

    held, working = (f for f in (SpectrumCollector.held_bytes, SpectrumCollector.working_bytes))
    need = held(DEEP, ENCODERS) + working(DEEP, ENCODERS, (8, 64, 64))
    assert 0.3 * need <= allocated(work) <= need


def test_a_map_of_foreign_places_takes_no_more_than_estimated() -> None:
    prepared, cell, rng = prepare(noise((60, 70, 80)), profile(1.0)), (2, 4, 4), np.random.default_rng(0)
    memory = CellMemory(
        np.zeros(12, np.float32),
        np.eye(12, dtype=np.float32),
        rng.normal(size=(2000, 12)).astype(np.float16),
        np.ones(2000, np.float16),
        np.linspace(0, 1, 41, dtype=np.float32),
    )
    grid = prepared.voxels.shape

    def work() -> None:
        """What `Predictor.locate` does after the check."""
        on_image_grid(memory.rarity(image_cells(prepared.voxels, cell)), cell, prepared)

    cells = 30 * 18 * 20
    need = locating_bytes(prepared.frame, 2000, cells)
    assert allocated(work) <= 1.3 * need
    assert allocated(lambda: image_cells(prepared.voxels, cell)) <= describing_bytes(grid) + 1_000_000


def test_the_peak_is_that_of_the_largest_stage_with_holes_between_blocks_and_what_libraries_keep() -> None:
    mb = 1_000_000
    stages = (StageMemory("a", 500 * mb), StageMemory("b", 100 * mb, NetworkMemory(200 * mb, 10 * mb)))
    estimate = MemoryEstimate(stages)
    assert estimate.host_bytes(is_on_host=False) == 24 * mb + 550 * mb
    assert estimate.host_bytes(is_on_host=True) == 24 * mb + 550 * mb
    assert estimate.card_bytes() == 250 * mb
    large = MemoryEstimate((*stages, StageMemory("c", 100 * mb, NetworkMemory(900 * mb, 10 * mb))))
    assert large.host_bytes(is_on_host=True) == 24 * mb + 1100 * mb + 20 * mb
    assert MemoryEstimate((StageMemory("d", 0, NetworkMemory(0, 900 * mb)),)).host_bytes(True) == 88 * mb


def test_thinner_slabs_and_strips_need_less_where_the_network_runs() -> None:
    volume = Volume(np.broadcast_to(np.float32(1), (24, 640, 640)), np.eye(4))
    for purpose in (CHECK, Purpose("t3"), Purpose("auto")):
        memory = run_memory(task(3), purpose=purpose, volume=volume)
        needs = [max(stage.network.peak_bytes for stage in memory.at(step).stages) for step in range(memory.steps)]
        assert memory.steps > 2
        assert needs == sorted(needs, reverse=True)
        assert needs[-1] < 0.6 * needs[0]


def stage_of(memory: RunMemory, name: str, step: int = 0) -> list[StageMemory]:
    return [stage for stage in memory.at(step).stages if stage.name == name]


def test_where_there_is_but_one_task_a_run_takes_what_it_takes_when_told() -> None:
    for candidates in ([task(3)], [task(3), task(2, 40.0)]):
        known, auto = (run_memory(*candidates, purpose=Purpose(name)) for name in ("t3", "auto"))
        is_alone = len(candidates) == 1
        assert (auto.at(0) == known.at(0)) is is_alone


def test_what_is_kept_for_the_labels_counts_where_the_task_is_recognised() -> None:
    volume, tasks = noise((64, 64, 64)), (task(3), task(2))
    known, auto = (run_memory(*tasks, purpose=Purpose(name), volume=volume) for name in ("t3", "auto"))
    assert stage_of(known, "checking")[0].network.peak_bytes == 0
    kept = auto._candidates[0].kept_bytes(0)
    assert kept > 10_000_000
    assert (
        stage_of(auto, "checking")[0].network.peak_bytes
        > stage_of(run_memory(task(3), purpose=CHECK, volume=volume), "checking")[0].network.peak_bytes
    )
    assert stage_of(auto, "labelling")[0].network.peak_bytes > kept


def test_a_second_profile_that_is_tried_adds_what_the_first_one_leaves() -> None:
    one = run_memory(task(3), task(2), purpose=Purpose("auto"))
    two = run_memory(task(3), task(2), task(1, 1.1), purpose=Purpose("auto"))
    grid = 4 * noise().voxels.size
    kept = max(candidate.kept_bytes(0) for candidate in two._candidates)
    assert stage_of(two, "checking")[0].host_bytes - stage_of(one, "checking")[0].host_bytes == grid
    more = stage_of(two, "checking")[0].network.peak_bytes - stage_of(one, "checking")[0].network.peak_bytes
    assert more == kept > 0


def test_each_purpose_counts_its_own_stages() -> None:
    def names(purpose: Purpose) -> set[str]:
        return {stage.name for stage in run_memory(task(3), purpose=purpose).at(0).stages}

    assert "locating" in names(LOCATE)
    assert "locating" not in names(CHECK)
    assert {"finishing", "writing"} <= names(Purpose("t3"))
    assert not {"finishing", "writing"} & names(CHECK)


def test_a_check_runs_the_encoder_up_to_the_last_stage_that_the_signature_looks_at() -> None:
    volume = noise((64, 64, 64))

    def checking(layers: tuple[str, ...]) -> int:
        frame = input_frame(volume, profile(1.0))
        return CandidateMemory(DEEP, layers, frame, (), True, CPU)._checking(0).peak_bytes

    first, both, decoder = (
        checking(("encoder0",)),
        checking(("encoder0", "encoder1")),
        checking(("encoder0", "decoder0")),
    )
    assert first <= both < decoder


def test_a_card_is_given_room_for_copies_that_the_processor_does_not_make() -> None:
    host, card = (run_memory(task(3), purpose=Purpose("t3"), device=device).at(0) for device in (CPU, CARD))
    assert card.card_bytes() > host.card_bytes()
    assert card.host_bytes(is_on_host=False) < host.host_bytes(is_on_host=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures the Linux way")
@pytest.mark.parametrize(
    "run",
    [
        "48 96 96 1 Dataset101_HippocampusT1",
        "48 96 96 1 Dataset101_HippocampusT1 0 --thorough",
        "48 96 96 1 locate",
        "1 400 500 1 auto",
        "48 64 64 0.15 auto 1",
    ],
)
def test_the_estimate_bounds_the_measured_peak_of_a_real_run(run: str) -> None:
    command = [sys.executable, "-m", "Testing.runtime.memory_probe", *run.split()]
    done = subprocess.run(command, capture_output=True, text=True, env=worker_environment(), check=True)
    peak, estimate = (int(number) for number in done.stdout.split())
    assert peak <= estimate <= 3 * peak


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures the Linux way")
def test_the_estimate_bounds_a_run_after_back_ends_were_tried_in_the_same_process(tmp_path: Path) -> None:
    """What they leave in the heap must not lie between the blocks of later runs."""
    command = [sys.executable, "-m", "Testing.runtime.memory_probe", "48", "96", "96", "1", "Dataset101_HippocampusT1"]
    environment = {**worker_environment(), "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("MULTITASKSEG_BACKEND", None)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    peak, estimate = (int(number) for number in done.stdout.split())
    assert peak <= estimate


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures the Linux way")
@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
@pytest.mark.parametrize("run", ["32 64 64 1 Dataset101_HippocampusT1", "1 400 500 1 auto 0 --first"])
def test_the_estimate_bounds_what_openvino_takes(run: str) -> None:
    command = [sys.executable, "-m", "Testing.runtime.memory_probe", *run.split()]
    environment = {**worker_environment(), "MULTITASKSEG_BACKEND": "openvino"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    peak, estimate = (int(number) for number in done.stdout.split())
    assert peak <= estimate <= 3 * peak


@pytest.mark.parametrize("shape", [SHAPE, (1, 90, 60)])
@pytest.mark.parametrize("device", [CPU, CARD])
def test_a_thorough_check_has_room_for_the_copy_of_the_image_that_takes_most(
    shape: tuple[int, int, int], device: torch.device
) -> None:
    wanted, is_on_host = task(2), device == CPU
    if shape[0] == 1:
        wanted = replace(wanted, profile=Profile("f", "fit", Intensity("percentile", 1.0, 99.0), matrix=96))
    volume, plain = noise(shape), Purpose("t2")
    thorough = run_memory(wanted, purpose=replace(plain, is_thorough=True), volume=volume, device=device)
    waiting = waiting_bytes([wanted], volume.voxels.size)
    copies = [run_memory(wanted, purpose=plain, volume=copy, device=device) for copy in stretched_copies(volume)]
    own = run_memory(wanted, purpose=plain, volume=volume, device=device).at(0)
    assert max(copy.at(0).card_bytes() for copy in copies) > own.card_bytes()
    for copy in copies:
        assert thorough.at(0).host_bytes(is_on_host) >= copy.at(0).host_bytes(is_on_host) + waiting
        assert thorough.at(0).card_bytes() >= copy.at(0).card_bytes()
