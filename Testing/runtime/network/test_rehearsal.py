"""What a pass says that it will take, against a trace of the whole pass by other means, and against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.network import rehearsal
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork, Triple
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.compiled_backend import CompiledBackend, Part
from MultiTaskSegLib.runtime.network.convolution import Route, direct_convolution, route_of, scratch_bytes
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream, padded_shape
from MultiTaskSegLib.runtime.network.rehearsal import PassMemory, pass_memory
from MultiTaskSegLib.runtime.network.tensor_ledger import Scratch, TensorLedger
from Testing.runtime.tensor_trace import traced

DEEP = Architecture((16, 32, 64, 128), ((1, 2, 2), (2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 4, 48)
FLAT = Architecture((24, 48, 96), ((1, 2, 2), (1, 2, 2)), ((1, 3, 3),) * 3, 18)
NARROW = Architecture((4, 6), ((2, 2, 2),), ((3, 3, 3),) * 2, 5)
CASES = [(DEEP, (32, 48, 64)), (FLAT, (1, 96, 128)), (FLAT, (20, 32, 32)), (NARROW, (64, 32, 32))]


def ledger_of(action: Callable[[], object], scratch: Scratch | None = None) -> TensorLedger:
    """What ``action`` took, in inference mode."""
    ledger = TensorLedger(scratch) if scratch else TensorLedger()
    with torch.inference_mode(), ledger:
        action()
    return ledger


def stream_of(architecture: Architecture, grid: Triple, slices: int) -> NetworkStream:
    backend = TorchBackend(SegmentationNetwork(architecture), torch.device("cpu"))
    plane = prod(padded_shape(architecture, grid)[1:])
    return NetworkStream(backend, architecture, np.zeros(grid, np.float32), slices * plane)


def ignore(name: str, slab: torch.Tensor) -> None:
    """Nobody wants to see it."""


def first_map(architecture: Architecture, grid: Triple, slices: int) -> int:
    """Bytes by which two libraries may differ: the first map, which one of them copies."""
    z = min(grid[0], slices) + 2 * (architecture.kernels[0][0] // 2)
    return 4 * architecture.channels[0] * z * prod(padded_shape(architecture, grid)[1:])


@pytest.mark.parametrize("slices", [4, 16])
@pytest.mark.parametrize(("architecture", "grid"), CASES)
def test_the_peak_is_that_of_a_trace_of_the_whole_pass(architecture: Architecture, grid: Triple, slices: int) -> None:
    stream = stream_of(architecture, grid, slices)
    trace = traced(lambda: list(map(id, stream.decode())))
    told = pass_memory(architecture, padded_shape(architecture, grid), slices, Route.DIRECT)
    assert trace.peak_bytes <= told.peak_bytes <= 1.02 * trace.peak_bytes + first_map(architecture, grid, slices)
    assert told.peak_bytes == told.decoding_bytes
    assert 0 < told.passing_bytes < told.peak_bytes


@pytest.mark.parametrize("slices", [4, 16])
@pytest.mark.parametrize(("architecture", "grid", "stages"), [(DEEP, (48, 32, 32), 4), (DEEP, (48, 32, 32), 2)])
def test_the_peak_of_the_encoder_is_that_of_a_trace_of_it(
    architecture: Architecture, grid: Triple, stages: int, slices: int
) -> None:
    stream = stream_of(architecture, grid, slices)
    trace = traced(lambda: stream.encode(stages, ignore))
    told = pass_memory(architecture, grid, slices, Route.DIRECT, encoder_stages=stages, decodes=False)
    assert trace.peak_bytes <= told.encoding_bytes <= 1.02 * trace.peak_bytes + first_map(architecture, grid, slices)
    assert told.decoding_bytes == 0


@pytest.mark.parametrize("keep_bytes", [0, 300_000, 10**9])
def test_what_is_kept_for_the_decoder_counts_while_it_is_made_and_while_it_is_used(keep_bytes: int) -> None:
    grid, slices = (96, 32, 32), 4
    told = pass_memory(DEEP, grid, slices, Route.DIRECT, encoder_stages=4, keep_bytes=keep_bytes)
    stream = stream_of(DEEP, grid, slices)
    kept = stream.encode(4, ignore, keep_bytes)
    assert told.kept_bytes == sum(sum(queue.pop().nbytes for _ in range(queue.slices)) for queue in kept.values())
    encoding = traced(lambda: stream.encode(4, ignore, keep_bytes))
    # The last block of what is kept may hold one slice only: there are up to 16 of 96 in a block.
    spare = first_map(DEEP, grid, slices) + told.kept_bytes // 4
    assert encoding.peak_bytes <= told.encoding_bytes <= 1.1 * encoding.peak_bytes + spare

    def both() -> None:
        """The check and the labels after it."""
        list(map(id, stream.decode(stream.encode(4, ignore, keep_bytes))))

    whole = traced(both)
    assert whole.peak_bytes <= told.peak_bytes <= 1.2 * whole.peak_bytes + spare


def test_it_does_not_grow_with_the_depth_and_grows_as_the_plane_does() -> None:
    shallow, deep = (pass_memory(DEEP, (depth, 64, 64), 8, Route.DIRECT) for depth in (200, 2000))
    assert deep == shallow
    wide = pass_memory(DEEP, (200, 128, 192), 8, Route.DIRECT)
    assert wide.peak_bytes == 6 * shallow.peak_bytes
    assert wide.slab_slices == shallow.slab_slices > 0


def test_the_weights_do_not_stay_in_memory_after_it() -> None:
    ledger = ledger_of(lambda: pass_memory(DEEP, (40, 16, 16), 4, Route.DIRECT))
    assert ledger.live_bytes == 0


def test_finding_out_how_much_a_network_takes_takes_next_to_nothing() -> None:
    # Its weights alone would take 226 GB; a file of a few kilobytes may ask for maps as large.
    vast = Architecture((4096, 4096), ((2, 2, 2),), ((15, 15, 15),) * 2, 2)
    memory = pass_memory(vast, (2, 64, 64), 2, Route.DIRECT)
    assert memory.peak_bytes > 4 * 4096 * 2 * 64 * 64


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (Route.DIRECT, 0),
        (Route.COPIED, 8 * 4 * 100 + 5 * 4 * 50),
        (Route.UNFOLDED, 8 * 4 * 100 + 5 * 4 * 50 + 8 * 27 * 4 * 50),
    ],
)
def test_the_scratch_of_a_convolution_depends_on_who_computes_it(route: Route, expected: int) -> None:
    x, weight, result = torch.empty(1, 8, 4, 5, 5), torch.empty(5, 8, 3, 3, 3), torch.empty(1, 5, 2, 5, 5)
    assert scratch_bytes(route, x, weight, result) == expected
    if route is not Route.DIRECT:
        told, least = (pass_memory(NARROW, (16, 8, 8), 4, r).peak_bytes for r in (route, Route.DIRECT))
        assert told > least


def test_cards_copy_and_processors_do_not_where_torch_has_a_direct_way() -> None:
    assert route_of(torch.device("cuda")) is Route.COPIED
    assert (route_of(torch.device("cpu")) is Route.DIRECT) == (direct_convolution() is not None)


def test_a_ledger_counts_each_storage_once_and_forgets_what_is_gone() -> None:
    def work() -> None:
        """A tensor, a view of it, a change in place, and another tensor after it is gone."""
        first = torch.zeros(1000)
        first[10:].add_(1)
        first.reshape(10, 100)
        del first
        torch.ones(500)

    ledger = ledger_of(work, lambda function, arguments, result: 8 if result.numel() == 500 else 0)
    assert ledger.peak_bytes == 4000
    assert ledger.live_bytes == 0
    assert ledger_of(work, lambda function, arguments, result: 5000).peak_bytes == 9000


def test_nothing_is_told_of_a_pass_that_does_not_run() -> None:
    assert PassMemory().peak_bytes == 0


def test_only_networks_that_would_take_much_are_rehearsed_without_values() -> None:
    # The first use of torch's device without memory costs more than the rehearsal of an ordinary network.
    released = Architecture(
        (16, 32, 64, 128, 128), ((1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)), ((3, 3, 3),) * 4 + ((1, 3, 3),), 48
    )
    assert rehearsal._device(released, (64, 16, 16)).type == "cpu"
    assert rehearsal._device(released, (64, 512, 512)).type == "meta"
    assert rehearsal._device(Architecture((4096, 4096), ((2, 2, 2),), ((15, 15, 15),) * 2, 2), (4, 2, 2)).type == "meta"


@pytest.mark.parametrize(("architecture", "grid"), CASES)
def test_of_a_compiled_back_end_every_part_s_copies_count_twice_beside_what_plain_torch_takes(
    architecture: Architecture, grid: Triple
) -> None:
    padded, slices = padded_shape(architecture, grid), 4
    plain, compiled = (
        pass_memory(architecture, padded, slices, Route.DIRECT, is_compiled=is_compiled).peak_bytes
        for is_compiled in (False, True)
    )
    largest: dict[str, int] = {}

    def part(module: torch.nn.Module, channels: tuple[int, ...], context: int) -> Part:
        """The module itself, which takes note of its inputs and twice its result."""
        name = f"{len(largest)}"
        largest[name] = 0

        def run(*inputs: torch.Tensor) -> torch.Tensor:
            """Compute."""
            result: torch.Tensor = module(*inputs)
            largest[name] = max(largest[name], sum(x.nbytes for x in inputs) + 2 * result.nbytes)
            return result

        return run

    backend = CompiledBackend("noted", TorchBackend(SegmentationNetwork(architecture), torch.device("cpu")), part)
    with torch.inference_mode():
        plane = slices * prod(padded[1:])
        list(map(id, NetworkStream(backend, architecture, np.zeros(grid, np.float32), plane).decode()))
    copies = 2 * sum(largest.values())
    assert 0 < copies <= compiled <= plain + copies + first_map(architecture, grid, slices)
