"""One pass gives the logits and the signature that the shipped pipeline and separate passes give."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.network.architecture import Architecture
from MultiTaskSegLib.runtime.ood.signature import IMAGE, Observed, signature_spec
from Testing.runtime.random_network import ARCHITECTURES, random_network
from trainer.measuring import shipped_pass
from trainer.measuring.shipped_pass import ShippedPass

CPU = torch.device("cpu")
SIZES = {"thick slices": (7, 21, 30), "planar": (1, 37, 45), "uneven": (9, 13, 11)}


def assert_same(found: Observed, expected: Observed) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name != IMAGE:
            np.testing.assert_allclose(found[name].singular_values, value.singular_values, rtol=1e-3, atol=1e-4)
            assert found[name].voxels == value.voxels


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
@pytest.mark.parametrize("variant", ["composite", "paper"])
def test_logits_are_those_of_the_modules_and_the_signature_that_of_a_pass_of_its_own(
    architecture: Architecture, variant: str
) -> None:
    name = next(name for name, own in ARCHITECTURES.items() if own is architecture)
    network, spec = random_network(architecture), signature_spec(architecture, variant, ())  # type: ignore[arg-type]
    voxels = np.random.default_rng(1).random(SIZES[name], dtype=np.float32)
    whole = np.pad(voxels, [(0, -n % s) for n, s in zip(voxels.shape, architecture.total_stride, strict=True)])
    z, y, x = voxels.shape
    with torch.no_grad():
        expected = network(torch.from_numpy(whole)[None, None])[0, 1:3, :z, :y, :x].numpy()
    shipped = ShippedPass(network, CPU)
    logits, observed = shipped.answered(voxels, spec, slice(1, 3))
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_array_equal(shipped.logits(voxels, slice(1, 3)), logits)
    assert_same(shipped.observed(voxels, spec), observed)


def test_where_memory_is_short_the_image_goes_through_in_thinner_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = ARCHITECTURES["thick slices"]
    shipped, spec = ShippedPass(random_network(architecture), CPU), signature_spec(architecture, "composite", ())
    voxels = np.random.default_rng(1).random((8, 16, 16), dtype=np.float32)
    expected, _ = shipped.answered(voxels, spec, slice(0, 2))
    plain, asked = shipped_pass.NetworkStream, []

    def short(backend: object, own: object, image: object, slab_voxels: int, stem: int) -> object:
        asked.append(slab_voxels)
        if slab_voxels > 100:
            raise RuntimeError("CUDA out of memory")
        return plain(backend, own, image, slab_voxels)  # type: ignore[arg-type]

    monkeypatch.setattr(shipped_pass, "NetworkStream", short)
    np.testing.assert_allclose(shipped.answered(voxels, spec, slice(0, 2))[0], expected, atol=1e-2)
    assert asked == sorted(asked, reverse=True)
    assert len(asked) > 1
    monkeypatch.setattr(
        shipped_pass, "NetworkStream", lambda *arguments, **named: (_ for _ in ()).throw(RuntimeError("other"))
    )
    with pytest.raises(RuntimeError, match="other"):
        shipped.answered(voxels, spec, slice(0, 2))


def test_the_logits_of_a_large_image_are_there_once() -> None:
    architecture = ARCHITECTURES["planar"]
    shipped, spec = ShippedPass(random_network(architecture), CPU), signature_spec(architecture, "composite", ())
    voxels = np.random.default_rng(1).random((400, 37, 45), dtype=np.float32)
    tracemalloc.start()
    try:
        logits, _ = shipped.answered(voxels, spec, slice(0, 2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # numpy's memory alone is counted: the logits, and a slab of the image at a time.
    assert logits.base is None
    assert logits.nbytes <= peak < 1.7 * logits.nbytes
