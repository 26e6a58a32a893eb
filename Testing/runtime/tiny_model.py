"""A model of a few thousand random weights: it segments nothing sensible, but everything around it is real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import FORMAT_VERSION, LabelInfo, Manifest, OodInfo, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import reference_tensors, save_model
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from MultiTaskSegLib.runtime.ood.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.ood.cell_reference import CellMemory, cell_tensors
from MultiTaskSegLib.runtime.ood.image_statistics import STATISTICS, ImageStatistics, statistic_length
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.signature import IMAGE, signature_spec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from trainer.reference.cell_fitting import fit_memories, new_samples
from trainer.reference.spectral_reference import fit_reference

ARCHITECTURE = Architecture(
    channels=(4, 6), strides=((2, 2, 2),), kernels=((3, 3, 3), (3, 3, 3)), outputs=5
)  # fmt: skip
TISSUE = "Segmentation category and type~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~Anatomic codes~^^~^^"
IMAGES_PER_TASK = 6


def tiny_manifest(is_planar: bool = False) -> Manifest:
    """Two tasks, with two labels and with one."""
    intensity = Intensity("percentile", 1.0, 99.0)
    profile = (
        Profile("planar", "fit", intensity, matrix=32)
        if is_planar
        else Profile("volume", "spacing", intensity, spacing_zyx_mm=(2.0, 2.0, 2.0))
    )
    first = LabelInfo(1, "left_ball", "left ball", (200, 30, 30), TISSUE)
    second = LabelInfo(2, "right_ball", "right ball", (30, 200, 30), TISSUE)
    cube = LabelInfo(1, "cube", "cube", (30, 30, 200), TISSUE)
    return Manifest(
        format_version=FORMAT_VERSION,
        name="tiny",
        created_by="tests",
        intended_use="tests only",
        architecture=ARCHITECTURE,
        tasks=(
            TaskInfo("Dataset001_Balls", "T1", "none", (first, second), profile, 0, 1.0, "none", 4, 2),
            TaskInfo("Dataset002_Cubes", "T2", "none", (cube,), profile, 3, 1.0, "none", 4, 2),
        ),
        ood=OodInfo("composite", ARCHITECTURE.layer_names, 1e-4, 3.0, 0.0, {}, STATISTICS),
    )


def tiny_network(seed: int = 5) -> SegmentationNetwork:
    """Random weights, the same for the same seed."""
    network = SegmentationNetwork(ARCHITECTURE)
    generator = torch.Generator().manual_seed(seed)
    for weights in network.parameters():
        weights.data = 0.3 * torch.randn(weights.shape, generator=generator)
    return network.eval()


def tiny_images(seed: int = 6) -> list[ReferenceImage]:
    """Invented spectra, different for the two tasks."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(2 * IMAGES_PER_TASK):
        task = number // IMAGES_PER_TASK
        spectra = {}
        for layer in ARCHITECTURE.layer_names:
            channels = ARCHITECTURE.channels[int(layer[-1])]
            values = np.sort(rng.uniform(50 + 500 * task, 100 + 500 * task, channels))[::-1].copy()
            spectra[layer] = LayerSpectrum(values, 4096, rng.normal(size=channels))
        statistics = {name: rng.normal(task, 1, statistic_length(name, planar=False)) for name in STATISTICS}
        observed = {**spectra, IMAGE: ImageStatistics(statistics)}
        images.append(ReferenceImage(task, f"patient{number}", number % 2 == 0, observed))
    return images


def tiny_reference() -> SpectralReference:
    """Fitted to `tiny_images`."""
    names = [task.name for task in tiny_manifest().tasks]
    return fit_reference(signature_spec(ARCHITECTURE, "composite", ARCHITECTURE.layer_names), names, tiny_images())


def tiny_memories(is_planar: bool = False) -> tuple[CellMemory, ...]:
    """Fitted to cells of noise, the same kind for both tasks."""
    rng = np.random.default_rng(7)
    samples = new_samples(2)
    for number in range(2 * IMAGES_PER_TASK):
        shape = (1, 64, 64) if is_planar else (16, 16, 16)
        volume = Volume(rng.normal(100, 20, shape).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), "noise")
        voxels = prepare(volume, tiny_manifest(is_planar).tasks[0].profile).voxels
        samples[number % 2].add(image_cells(voxels, cell_size(ARCHITECTURE)), f"patient{number}", number % 4 >= 2)
    return fit_memories(samples)


def write_tiny_model(path: Path, is_planar: bool = False, with_cells: bool = False) -> Path:
    """Write the model file and return its path."""
    images = tiny_images()
    tensors = reference_tensors(images, tiny_reference())
    if with_cells:
        tensors |= cell_tensors(tiny_memories(is_planar))
    save_model(path, tiny_manifest(is_planar), tiny_network(), tensors)
    return path
