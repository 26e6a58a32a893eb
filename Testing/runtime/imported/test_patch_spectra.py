"""Spectra from overlapping patches are those of the whole map: every voxel counts once, zeros around it never."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.imported.patch_spectra import PatchSpectra
from MultiTaskSegLib.runtime.network.architecture import Architecture
from MultiTaskSegLib.runtime.nnunet.patch_stream import PatchStream

CHANNELS = 3


class Copies(nn.Module):
    """An encoder whose finest map is the image, and whose coarser one is not looked at."""

    def forward(self, image: Tensor) -> list[Tensor]:
        return [image, image]


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Copies()

    def forward(self, image: Tensor) -> Tensor:
        return self.decoder([image])

    def decoder(self, maps: list[Tensor]) -> Tensor:
        return maps.pop()


def spectra_of(voxels: np.ndarray, patch: tuple[int, ...], *, with_scores: bool) -> PatchSpectra:
    step = (1, 2, 2) if len(patch) == 2 else (2, 2, 2)
    architecture = Architecture((CHANNELS, CHANNELS), (step,), ((1, 1, 1),) * 2, 1)
    collector = PatchSpectra(architecture, ("encoder0",), voxels.shape[1:], patch, 1e-4)
    stream = PatchStream([Network(), Network()], CHANNELS, patch)
    if with_scores:
        for _ in stream.slabs(voxels, watch=collector):
            pass
    else:
        stream.look(voxels, collector)
    return collector


@pytest.mark.parametrize("with_scores", [False, True])
@pytest.mark.parametrize(
    ("sizes", "patch"),
    [((11, 13, 9), (4, 6, 4)), ((3, 13, 5), (8, 4, 8)), ((5, 11, 12), (4, 6)), ((2, 3, 12), (4, 4))],
)
def test_each_voxel_counts_once(sizes: tuple[int, ...], patch: tuple[int, ...], with_scores: bool) -> None:
    voxels = np.random.default_rng(0).normal(2, 1, (CHANNELS, *sizes)).astype(np.float32)
    found = spectra_of(voxels, patch, with_scores=with_scores).spectra()["encoder0"]
    rows = voxels.reshape(CHANNELS, -1).T.astype(float)
    assert found.voxels == len(rows)
    np.testing.assert_allclose(found.channel_means, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.singular_values, np.linalg.svd(rows, compute_uv=False), rtol=1e-4)


def test_an_image_of_a_voxel_has_a_spectrum_on_every_level() -> None:
    voxels = np.ones((CHANNELS, 1, 2, 1), np.float32)
    architecture = Architecture((CHANNELS,) * 3, ((2, 2, 2),) * 2, ((1, 1, 1),) * 3, 1)
    layers = ("encoder0", "encoder1", "encoder2")
    collector = PatchSpectra(architecture, layers, voxels.shape[1:], (8, 8, 8), 1e-4)
    place = (slice(3, 4), slice(3, 5), slice(3, 4))
    collector([torch.ones((1, CHANNELS, side, side, side)) for side in (8, 4, 2)], (0, 0, 0), place)
    assert [collector.spectra()[name].voxels for name in layers] == [2, 2, 2]


def test_looking_at_maps_does_not_change_the_scores() -> None:
    voxels = torch.linspace(0, 1, CHANNELS * 6 * 7 * 8).reshape(CHANNELS, 6, 7, 8).numpy()
    stream = PatchStream([Network()], CHANNELS, (4, 4, 4))
    plain = torch.cat([slab for _, slab in stream.slabs(voxels)], 1)
    watched = torch.cat([slab for _, slab in stream.slabs(voxels, watch=lambda *_: None)], 1)
    assert plain.equal(watched)
