"""A model file of the released 3-D architecture with random weights and as many classes as wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.model.manifest import FORMAT_VERSION, LabelInfo, Manifest, OodInfo, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import reference_tensors, save_model
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage
from MultiTaskSegLib.runtime.ood.signature import signature_spec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from trainer.reference.spectral_reference import fit_reference

CHANNELS = (16, 32, 64, 128, 128)
STRIDES = ((1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
KERNELS = ((3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3), (1, 3, 3))
TERMINOLOGY = "Segmentation category and type~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~Anatomic codes~^^~^^"
PATIENTS = 8


def write_untrained_model(path: Path, classes: int, seed: int = 0, tasks: int = 1) -> Path:
    """Write a model with tasks of ``classes`` - 1 labels each and return its path; the only one is called ``task``."""
    architecture = Architecture(CHANNELS, STRIDES, KERNELS, classes * tasks)
    network = SegmentationNetwork(architecture)
    generator = torch.Generator().manual_seed(seed)
    for weights in network.parameters():
        fan_in = weights[0].numel() if weights.dim() > 1 else 25
        weights.data = torch.randn(weights.shape, generator=generator) * (1.5 / fan_in) ** 0.5
    labels = tuple(LabelInfo(n, f"label{n}", f"label {n}", (n % 256, 99, 99), TERMINOLOGY) for n in range(1, classes))
    profile = Profile("volume", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
    names = ["task"] if tasks == 1 else [f"task{number}" for number in range(tasks)]
    infos = tuple(
        TaskInfo(name, "T1", "none", labels, profile, number * classes, 1.2, "none", 4, 2, surface_temperature=1.6)
        for number, name in enumerate(names)
    )
    spec = signature_spec(architecture, "whitened")
    images = _invented_images(architecture, spec.layers, tasks)
    manifest = Manifest(
        FORMAT_VERSION,
        "untrained",
        "benchmark",
        "benchmark only",
        architecture,
        infos,
        OodInfo("whitened", spec.layers, spec.floor, 3.0, 0.0, {}),
    )
    save_model(path, manifest, network.eval(), reference_tensors(images, fit_reference(spec, names, images)))
    return path


def _invented_images(architecture: Architecture, layers: tuple[str, ...], tasks: int) -> list[ReferenceImage]:
    rng = np.random.default_rng(1)
    images = []
    for number in range(PATIENTS * tasks):
        spectra = {}
        for layer in layers:
            channels = architecture.channels[int(layer[-1])]
            values = np.sort(rng.uniform(50, 100, channels))[::-1].copy()
            spectra[layer] = LayerSpectrum(values, 4096, rng.normal(size=channels))
        images.append(ReferenceImage(number // PATIENTS, f"patient{number}", number % 2 == 0, spectra))
    return images
