"""What is kept of an image: slabs do not matter, files give it back, and the sums agree with counting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.ood import row_lattice
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from Testing.runtime.tiny_model import tiny_manifest, tiny_network
from trainer.measuring.shipped_pass import ShippedPass
from trainer.ood.detector import output_statistics
from trainer.ood.detector.features import (
    ImageFeatures,
    extract_features,
    load_features,
    neighbourhood_moments,
    predicted_labels,
    save_features,
    with_neighbours,
)
from trainer.ood.detector.output_statistics import OutputStatistics, rim_of

CPU = torch.device("cpu")
VOXELS = np.random.default_rng(0).random((14, 40, 44)).astype(np.float32)


def extract(voxels: np.ndarray = VOXELS) -> tuple[ImageFeatures, dict[str, np.ndarray]]:
    return extract_features(tiny_network(), voxels, tiny_manifest().tasks, CPU)


def test_features_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    found, _ = extract()
    save_features(tmp_path / "image.npz", found)
    again = load_features(tmp_path / "image.npz")
    assert again.outputs == found.outputs
    np.testing.assert_array_equal(again.pooled, found.pooled)
    np.testing.assert_array_equal(again.histogram, found.histogram)
    for name, layer in found.layers.items():
        np.testing.assert_array_equal(again.layers[name].gram, layer.gram)
        np.testing.assert_array_equal(again.layers[name].sums, layer.sums)
        assert again.layers[name].voxels == layer.voxels


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize("slab_voxels", [1, 4_000, 10_000_000])
def test_the_features_are_those_of_one_pass_over_the_whole_padded_image(slab_voxels: int) -> None:
    """Whatever the slabs: feature maps, sums over the output and labels by the network's own ``forward``."""
    network, tasks = tiny_network(), tiny_manifest().tasks
    voxels = VOXELS[:13, :39, :42]
    found, labels = extract_features(network, voxels, tasks, CPU, slab_voxels)
    architecture = network.architecture
    padded = np.pad(voxels, [(0, -n % s) for n, s in zip(voxels.shape, architecture.total_stride, strict=True)])
    image = torch.from_numpy(padded)[None, None]
    with torch.inference_mode():
        maps, logits = network.features(image), network(image)[0]
    for name in architecture.layer_names:
        sizes = [-(-n // s) for n, s in zip(voxels.shape, architecture.layer_stride(name), strict=True)]
        rows = maps[name][0, :, : sizes[0], : sizes[1], : sizes[2]].reshape(maps[name].shape[1], -1).double().numpy()
        np.testing.assert_allclose(found.layers[name].gram, rows @ rows.T, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(found.layers[name].sums, rows.sum(axis=1), rtol=1e-4, atol=1e-2)
        assert found.layers[name].voxels == rows.shape[1]
    core = tuple(slice(0, n) for n in voxels.shape)
    for task in tasks:
        own = logits[task.channels]
        np.testing.assert_array_equal(labels[task.name], own.argmax(dim=0)[core].numpy())
        streamed = predicted_labels(network, voxels, task.channels, CPU, slab_voxels)
        np.testing.assert_array_equal(streamed, labels[task.name])
        expected = OutputStatistics().plus(own, core).as_array()
        np.testing.assert_allclose(found.outputs[task.name].as_array(), expected, rtol=1e-4)


@pytest.mark.parametrize("thickness", [[5], [1, 1, 1], [1], [2, 1, 4, 3], [3, 3]])
def test_slabs_with_neighbours_count_every_slice_once_and_show_the_slices_beside(thickness: list[int]) -> None:
    image = torch.arange(float(sum(thickness))).reshape(1, 1, -1, 1, 1)
    counted: list[int] = []
    for window, first, own in with_neighbours(image.split(thickness, dim=2)):
        slices = [int(v) for v in window.flatten()]
        assert slices == list(range(first, first + len(slices)))
        counted += slices[own]
        assert slices[0] == max(slices[own][0] - 1, 0)
        assert slices[-1] == min(slices[own][-1] + 1, sum(thickness) - 1)
    assert counted == list(range(sum(thickness)))


def test_singular_values_and_means_are_those_of_the_voxels_by_channels_matrix() -> None:
    found, _ = extract()
    with torch.inference_mode():
        rows = tiny_network().features(torch.from_numpy(VOXELS)[None, None])["encoder0"][0].reshape(4, -1).T.numpy()
    spectrum = found.layers["encoder0"].spectrum()
    np.testing.assert_allclose(spectrum.singular_values, np.linalg.svd(rows, compute_uv=False), rtol=1e-4)
    np.testing.assert_allclose(spectrum.channel_means, rows.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.layers["encoder0"].covariance, np.cov(rows.T, bias=True), rtol=1e-3, atol=1e-5)


def test_of_a_large_image_the_spectra_are_those_of_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_lattice, "MAX_VALUES", 10_000)
    network, layers = tiny_network(), ("encoder0", "encoder1")
    checked = ShippedPass(network, CPU).observed(VOXELS, SignatureSpec("whitened", layers, 0.0))
    found, _ = extract()
    for layer in layers:
        own, same = found.layers[layer].spectrum(), checked[layer]
        assert isinstance(same, LayerSpectrum)
        assert own.voxels == same.voxels
        np.testing.assert_allclose(own.singular_values, same.singular_values, rtol=1e-4)
        np.testing.assert_allclose(own.channel_means, same.channel_means, rtol=1e-5, atol=1e-7)
    monkeypatch.undo()
    everything = extract()[0].layers["encoder0"].spectrum()
    assert not np.allclose(everything.singular_values, checked["encoder0"].singular_values, rtol=1e-5)


@pytest.mark.parametrize(("shape", "channels"), [((5, 7, 6), 27), ((1, 9, 8), 25), ((2, 7, 6), 18)])
def test_neighbourhoods_are_all_the_full_ones(shape: tuple[int, int, int], channels: int) -> None:
    voxels = np.random.default_rng(1).random(shape).astype(np.float32)
    moments = neighbourhood_moments(voxels)
    assert len(moments.sums) == channels
    sides = (1, 5, 5) if shape[0] == 1 else (min(3, shape[0]), 3, 3)
    windows = np.lib.stride_tricks.sliding_window_view(voxels.astype(np.float64), sides).reshape(-1, channels)
    assert moments.voxels == len(windows)
    np.testing.assert_allclose(moments.gram, windows.T @ windows, rtol=1e-6)


def test_slabs_do_not_change_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn((3, 9, 10, 11), generator=torch.Generator().manual_seed(2))
    core = (slice(2, 8), slice(1, 9), slice(0, 11))
    whole = OutputStatistics().plus(logits, core)
    monkeypatch.setattr(output_statistics, "SLAB_LOGITS", 1)
    np.testing.assert_allclose(OutputStatistics().plus(logits, core).as_array(), whole.as_array(), rtol=1e-6)


def test_the_sums_are_those_of_the_whole_image_counted_voxel_by_voxel() -> None:
    logits = torch.randn((3, 4, 5, 6), generator=torch.Generator().manual_seed(3))
    found = OutputStatistics().plus(logits, (slice(0, 4), slice(0, 5), slice(0, 6)))
    p = torch.softmax(logits, dim=0).double().numpy()
    entropy = -(p * np.log(p)).sum(axis=0) / np.log(3)
    fore = p.argmax(axis=0) > 0
    assert (found.voxels, found.foreground) == (120, fore.sum())
    assert found.entropy == pytest.approx(entropy.sum(), rel=1e-5)
    assert found.entropy_foreground == pytest.approx(entropy[fore].sum(), rel=1e-5)
    assert found.doubt == pytest.approx((1 - p.max(axis=0)).sum(), rel=1e-5)
    assert found.energy == pytest.approx(float(-torch.logsumexp(logits, dim=0).sum()), rel=1e-5)


def test_the_rim_has_the_voxels_on_both_sides_of_the_surface() -> None:
    mask = torch.zeros((1, 7, 7), dtype=torch.bool)
    mask[0, 2:5, 2:5] = True
    rim = rim_of(mask)[0].numpy()
    assert rim[2:5, 2:5].sum() == 8  # all of the square but its middle
    assert rim.sum() - 8 == 12  # its face neighbours outside, not the diagonal ones
    assert not rim_of(torch.ones((3, 4, 5), dtype=torch.bool)).any()
