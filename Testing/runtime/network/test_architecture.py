"""The network's receptive field is what it says, and nothing is measured over the image."""

from __future__ import annotations

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.network.architecture import Architecture
from Testing.runtime.random_network import ARCHITECTURES, PLANAR, THICK_SLICES, random_network


def reach(architecture: Architecture, axis: int, place: int, length: int) -> int:
    """Farthest input voxel along ``axis`` that moves the output voxel at ``place``, by automatic differentiation."""
    sizes = [3 * s for s in architecture.total_stride]
    sizes[axis] = length
    centre = [n // 2 for n in sizes]
    centre[axis] = place
    voxels = torch.rand((1, 1, *sizes), generator=torch.Generator().manual_seed(3), requires_grad=True)
    random_network(architecture).double()(voxels.double())[(0, slice(None), *centre)].sum().backward()
    assert voxels.grad is not None
    moved = voxels.grad[0, 0].abs().amax(dim=[a for a in range(3) if a != axis]).nonzero()[:, 0]
    return int((moved - place).abs().max())


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_input_voxel_beyond_the_halo_moves_an_output_voxel(name: str, axis: int) -> None:
    architecture = ARCHITECTURES[name]
    stride, halo = architecture.total_stride[axis], architecture.halo[axis]
    length = 2 * halo + 3 * stride
    places = range(halo + stride, halo + 2 * stride)
    farthest = max(reach(architecture, axis, place, length) for place in places)
    # Not beyond, and the halo is no larger than rounding it up to whole cells asks for.
    assert halo - stride < farthest <= halo or farthest == halo == 0


def test_the_halo_of_a_network_of_one_voxel_kernels_is_the_pooling_cell_alone() -> None:
    architecture = Architecture((2, 2), ((2, 4, 1),), ((1, 1, 1), (1, 1, 1)), 1)
    assert architecture.halo == (2, 4, 0)


def test_strides_multiply_from_level_to_level() -> None:
    assert THICK_SLICES.level_strides == ((1, 1, 1), (1, 2, 2), (2, 4, 4))
    assert PLANAR.total_stride == (1, 8, 8)
    assert THICK_SLICES.layer_names == ("encoder0", "encoder1", "encoder2", "decoder1", "decoder0")
    assert [THICK_SLICES.layer_stride(n) for n in ("encoder1", "decoder0")] == [(1, 2, 2), (1, 1, 1)]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_feature_map_has_its_channels_and_stride(name: str) -> None:
    architecture = ARCHITECTURES[name]
    sizes = [2 * s for s in architecture.total_stride]
    maps = random_network(architecture).features(torch.rand((1, 1, *sizes)))
    assert tuple(maps) == architecture.layer_names
    for layer, found in maps.items():
        stride = architecture.layer_stride(layer)
        expected = [n // s for n, s in zip(sizes, stride, strict=True)]
        assert list(found.shape) == [1, architecture.channels[int(layer[-1])], *expected]


def test_an_image_gets_the_same_logits_alone_and_in_a_batch() -> None:
    network = random_network(THICK_SLICES)
    images = torch.rand((3, 1, 4, 8, 8), generator=torch.Generator().manual_seed(2)) * torch.tensor(
        [1.0, 50.0, 0.0]
    ).view(3, 1, 1, 1, 1)
    together = network(images)
    for number in range(3):
        torch.testing.assert_close(network(images[number : number + 1])[0], together[number])


def test_feature_maps_are_not_overwritten_by_later_layers() -> None:
    network = random_network(THICK_SLICES)
    image = torch.rand((1, 1, 4, 8, 8), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(network.features(image)["encoder0"], network.encoder[0](image))


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": (4,), "strides": (), "kernels": ((3, 3, 3),)},
        {"strides": ()},
        {"kernels": ((3, 3, 3),)},
        {"kernels": ((3, 3, 3), (3, 2, 3))},
        {"channels": (4, 0)},
        {"strides": ((2, 0, 2),)},
        {"outputs": 0},
        {"outputs": -1},
    ],
)
def test_an_architecture_that_contradicts_itself_is_refused(changes: dict[str, object]) -> None:
    right: dict[str, object] = {
        "channels": (4, 6), "strides": ((2, 2, 2),), "kernels": ((3, 3, 3),) * 2, "outputs": 2
    }  # fmt: skip
    Architecture(**right)  # type: ignore[arg-type]
    with pytest.raises(ModelError):
        Architecture(**{**right, **changes})  # type: ignore[arg-type]
