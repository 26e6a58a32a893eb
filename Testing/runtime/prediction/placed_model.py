"""Models whose training images lie at distances from one image that were chosen beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.model_file import Model
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from MultiTaskSegLib.runtime.ood.reference import SpectralReference
from MultiTaskSegLib.runtime.ood.signature import Observed, SignatureSpec
from MultiTaskSegLib.runtime.prediction.candidate import Candidate, candidates_of
from MultiTaskSegLib.runtime.prediction.network_pass import NetworkPass
from Testing.runtime.tiny_model import tiny_manifest, tiny_network

CPU = torch.device("cpu")
SPEC = SignatureSpec("multilayer", ("encoder0", "encoder1"), 1e-4)


def profile(mm: float) -> Profile:
    """Of isotropic voxels."""
    return Profile(f"{mm} mm", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(mm, mm, mm))


def noise(shape: tuple[int, int, int] = (9, 12, 10)) -> Volume:
    """An image of voxels of 2 mm."""
    voxels = np.random.default_rng(3).normal(100, 20, shape).astype(np.float32)
    return Volume(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), "noise")


def placed_model(
    volume: Volume,
    places: Mapping[str, tuple[Profile, float]],
    *,
    name: str = "placed",
    threshold: float = 10.0,
    network: SegmentationNetwork | None = None,
) -> Model:
    """A model of random weights with one training image per task.

    Args:
        volume: from which the training images are away.
        places: profile and distance by task; the distance is exact where the image is prepared by that profile.
        name: of the model, and its digest.
        threshold: of the check.
        network: at least four outputs; the tiny one by default.
    """
    network = network or tiny_network()
    own = {task: SPEC.vectors(_observed(network, prepare(volume, where).voxels)) for task, (where, _) in places.items()}
    vectors = {
        block: np.stack([own[task][block] + d / np.sqrt(len(own[task][block])) for task, (_, d) in places.items()])
        for block in SPEC.blocks
    }
    scales = {block: np.ones(len(places)) for block in SPEC.blocks}
    tasks = np.arange(len(places))
    reference = SpectralReference(SPEC, list(places), vectors, tasks, scales, np.ones(3), threshold)
    manifest = tiny_manifest()
    infos = tuple(_task(manifest.tasks[n % 2], task, where) for n, (task, (where, _)) in enumerate(places.items()))
    manifest = replace(manifest, name=name, architecture=network.architecture, tasks=infos)
    return Model(manifest, network, reference, name)


def _observed(network: SegmentationNetwork, voxels: NDArray[np.float32]) -> Observed:
    network_pass = NetworkPass(TorchBackend(network, CPU), network.architecture, SPEC)
    return {**network_pass.encode(voxels, lambda share: None).spectra}


def candidates(model: Model, backend: Backend | None = None) -> list[Candidate]:
    """One for each of the model's profiles, by one network pass."""
    network_pass = NetworkPass(backend or TorchBackend(model.network, CPU), model.manifest.architecture, SPEC)
    return candidates_of(model, network_pass, list(dict.fromkeys(task.profile for task in model.manifest.tasks)))


def _task(like: TaskInfo, name: str, where: Profile) -> TaskInfo:
    return replace(like, name=name, profile=where, channel_start=0, held_out_dice={})
