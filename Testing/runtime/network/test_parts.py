"""The ladder of parts: each step another way to take the image, with less of it at a time; strips cover it once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream, padded_shape
from MultiTaskSegLib.runtime.network.parts import Parts, largest_strip, part_ladder, strips
from Testing.runtime.random_network import ARCHITECTURES, PLANAR, THICK_SLICES, random_network
from trainer.tiled.halo_tiles import pad_to_stride

# Four slices and 16 x 16 voxels to a step, as the released 3-D network.
WIDE = Architecture((2,) * 5, ((1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)), ((3, 3, 3),) * 4 + ((1, 3, 3),), 3)
CPU = torch.device("cpu")


def test_slabs_get_thinner_by_a_factor_of_four_down_to_one_step_of_the_network() -> None:
    ladder = part_ladder(WIDE, (400, 16, 16), 112, 200_000)
    assert ladder == (Parts(400), Parts(100), Parts(24), Parts(4))
    ladder = part_ladder(WIDE, (400, 64, 64), 112, 200_000)
    assert ladder == (Parts(48), Parts(12), Parts(4))


def test_a_plane_that_is_too_large_for_thin_slabs_is_cut_into_strips_of_ever_fewer_rows() -> None:
    ladder = part_ladder(WIDE, (40, 1024, 1024), 112, 200_000)
    assert ladder[0] == Parts(4)
    rows = [parts.rows for parts in ladder[1:]]
    assert len(rows) > 2
    assert rows == sorted(rows, reverse=True)
    taken = [largest_strip((40, 1024, 1024), parts.rows, 112)[1] for parts in ladder]
    assert taken[0] == 1024
    assert all(less <= 0.85 * more for more, less in pairwise(taken))
    assert taken[-1] <= 1.3 * (16 + 2 * 112)


def test_strips_that_would_spare_hardly_anything_are_no_step() -> None:
    assert part_ladder(WIDE, (160, 192, 192), 112, 200_000) == (Parts(4),)


@pytest.mark.parametrize(
    "grid", [(160, 192, 192), (300, 512, 512), (64, 64, 64), (1, 16, 16), (20, 3000, 500), (9, 5, 7)]
)
@pytest.mark.parametrize("keep_bytes", [0, 10**6, 10**9, 10**12])
def test_every_step_is_another_way(grid: Triple, keep_bytes: int) -> None:
    ladder = part_ladder(WIDE, grid, 112, 200_000, keep_bytes)
    assert len(set(ladder)) == len(ladder)
    depth = padded_shape(WIDE, grid)[0]
    assert all(4 <= parts.slices <= depth and parts.slices % 4 == 0 for parts in ladder)


def test_maps_are_kept_as_long_as_planes_are_whole_and_given_up_where_they_are_all_of_them() -> None:
    ladder = part_ladder(WIDE, (40, 512, 512), 32, 200_000, 10**12)
    assert ladder[:2] == (Parts(4, None, 10**12), Parts(4))
    assert all(parts.keep_bytes == 0 for parts in ladder[1:])
    some = part_ladder(WIDE, (40, 512, 512), 32, 200_000, 3_000_000)
    assert some[0] == Parts(4, None, 3_000_000)
    assert some[1].rows is not None
    assert part_ladder(WIDE, (40, 512, 512), 32, 200_000, 10)[0] == Parts(4), "nothing fits"


@pytest.mark.parametrize("rows", [None, 16, 48, 1024])
def test_strips_cover_the_plane_once_with_their_context(rows: int | None) -> None:
    tiles = strips((8, 160, 48), rows, 32)
    covered = [row for tile in tiles for row in range(*tile.core[1])]
    assert covered == list(range(160))
    for tile in tiles:
        (start, stop), (first, last) = tile.core[1], tile.source[1]
        assert (first, last) == (max(0, start - 32), min(160, stop + 32))
        assert (tile.core[0], tile.core[2], tile.source[0], tile.source[2]) == ((0, 8), (0, 48), (0, 8), (0, 48))


def maps_in_strips(architecture: Architecture, voxels: np.ndarray, context: int, stages: int | None) -> torch.Tensor:
    """The last decoder map, or that of an encoder stage, put together from strips of one stride."""
    network = random_network(architecture)
    padded = padded_shape(architecture, voxels.shape)
    stride = architecture.total_stride[1]
    cell = architecture.level_strides[0 if stages is None else stages - 1][1]
    parts: list[torch.Tensor] = []
    for tile in strips(padded, stride, context):
        seen: list[torch.Tensor] = []
        stream = NetworkStream(TorchBackend(network, CPU), architecture, voxels[:, tile.source_slices()[1]], 1)
        with torch.inference_mode():
            if stages is None:
                seen = [slab.clone() for slab in stream.decode()]
            else:
                last = f"encoder{stages - 1}"
                stream.encode(
                    stages, lambda name, slab, to=seen, of=last: to.append(slab.clone()) if name == of else None
                )
        (start, stop), first = tile.core[1], tile.source[1][0]
        parts.append(torch.cat(seen, dim=2)[:, :, :, (start - first) // cell : (stop - first) // cell])
    return torch.cat(parts, dim=3)


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize("stages", [None, 1, 2])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_strips_with_the_halo_give_the_maps_of_whole_planes(name: str, stages: int | None) -> None:
    architecture = ARCHITECTURES[name]
    voxels = np.random.default_rng(1).random((5, 101, 13), dtype=np.float32)
    halo = architecture.halo if stages is None else architecture.encoder_halo(stages)
    found = maps_in_strips(architecture, voxels, halo[1], stages)
    padded = torch.from_numpy(pad_to_stride(voxels, architecture.total_stride))[None, None]
    with torch.no_grad():
        maps = random_network(architecture).features(padded)
    expected = maps["decoder0" if stages is None else f"encoder{stages - 1}"]
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize("architecture", [THICK_SLICES, PLANAR], ids=["thick slices", "planar"])
def test_a_halo_that_is_too_small_would_be_noticed(architecture: Architecture) -> None:
    voxels = np.random.default_rng(1).random((4, 96, 16), dtype=np.float32)
    stride = architecture.total_stride[1]
    small = architecture.halo[1] // 2 // stride * stride
    whole, found = (maps_in_strips(architecture, voxels, context, None) for context in (architecture.halo[1], small))
    assert (found - whole).abs().max() > 1e-4


def test_the_halo_of_the_encoder_is_part_of_that_of_the_network_and_grows_with_its_stages() -> None:
    halos = [WIDE.encoder_halo(stages)[1] for stages in range(6)]
    assert halos == sorted(halos)
    assert halos[0] == 16
    assert halos[4] == 48  # 15 + 2 x (1 + 2 + 4 + 8), rounded up to 16
    assert halos[-1] < WIDE.halo[1]
