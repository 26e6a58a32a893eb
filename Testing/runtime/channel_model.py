"""A model of random weights whose tasks take different channels: one, two with labels, two with regions.

Its reference and its cells come from images made by code: a bright ball in the first channel, a dark one in the second.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, Manifest, OodInfo, TaskInfo, needed_format
from MultiTaskSegLib.runtime.model.model_file import reference_tensors, save_model
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from MultiTaskSegLib.runtime.ood.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.ood.cell_reference import cell_tensors
from MultiTaskSegLib.runtime.ood.image_statistics import STATISTICS
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage
from MultiTaskSegLib.runtime.ood.signature import signature_spec
from Testing.runtime.random_network import random_network
from Testing.runtime.tiny_model import TISSUE
from trainer.measuring.shipped_pass import ShippedPass
from trainer.reference.cell_fitting import fit_memories, new_samples
from trainer.reference.spectral_reference import fit_reference

ARCHITECTURE = Architecture((4, 6), ((2, 2, 2),), ((3, 3, 3),) * 2, outputs=6, stems=(1, 2))
CHANNELS = ("FLAIR", "T1c")
ONE, TWO, REGIONS = "Dataset001_One", "Dataset002_Two", "Dataset003_Regions"
SHAPE = (8, 10, 12)
IMAGES = 8
_MR = Intensity("percentile", 1.0, 99.0)
_ALONE = Profile("one", "spacing", _MR, spacing_zyx_mm=(2.0, 2.0, 2.0))


def channel_manifest() -> Manifest:
    """One channel and a ball; two channels and a ball; two channels, a whole and its core."""
    ball = LabelInfo(1, "ball", "ball", (200, 30, 30), TISSUE)
    whole, core = replace(ball, value=2, name="whole"), replace(ball, value=1, name="core")
    pair = replace(_ALONE, name="two", further=(_MR,))
    tasks = (
        TaskInfo(ONE, "T1", "head", (ball,), _ALONE, 0, 1.0, "none", 4, 2),
        TaskInfo(TWO, "FLAIR + T1c", "head", (ball,), pair, 2, 1.0, "none", 4, 2, inputs=CHANNELS),
        TaskInfo(
            REGIONS, "FLAIR + T1c", "head", (whole, core), pair, 4, 1.3, "none", 4, 2,
            surface_temperature=2.0, inputs=CHANNELS, are_regions=True,
        ),
    )  # fmt: skip
    ood = OodInfo("composite", ARCHITECTURE.layer_names, 1e-4, 3.0, 0.0, {}, STATISTICS)
    return Manifest(needed_format(tasks), "channels", "tests", "tests only", ARCHITECTURE, tasks, ood)


def channel_network() -> SegmentationNetwork:
    """Random weights."""
    return random_network(ARCHITECTURE)


def ball_image(seed: int, channels: int = 2) -> Volume:
    """A ball on noise: bright in the first channel, dark and smaller in the second."""
    rng = np.random.default_rng(seed)
    places = np.indices(SHAPE) - np.array(SHAPE).reshape(3, 1, 1, 1) / 2 - rng.uniform(-0.5, 0.5, (3, 1, 1, 1))
    distance = np.sqrt((places**2).sum(axis=0))
    first = 100 + 200 * (distance < 4) + rng.normal(0, 5, SHAPE)
    second = 300 - 250 * (distance < 2.5) + rng.normal(0, 20, SHAPE)
    further = (second.astype(np.float32),) if channels == 2 else ()
    return Volume(first.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), f"ball{seed}", further=further)


def write_channel_model(path: Path) -> Path:
    """Write the model file and return its path."""
    manifest, network = channel_manifest(), channel_network()
    spec = signature_spec(ARCHITECTURE, "composite", ARCHITECTURE.layer_names)
    shipped, images, samples = ShippedPass(network, torch.device("cpu")), [], new_samples(len(manifest.tasks))
    for index, task in enumerate(manifest.tasks):
        for number in range(IMAGES):
            held_out, group = number % 2 == 1, f"patient{index}{number}"
            voxels = prepare(ball_image(10 * index + number, task.input_count), task.profile).voxels
            observed = shipped.observed(voxels, spec, manifest.stem(task))
            images.append(ReferenceImage(index, group, held_out, observed))
            samples[index].add(image_cells(voxels, cell_size(ARCHITECTURE)), group, held_out)
    reference = fit_reference(spec, [task.name for task in manifest.tasks], images)
    manifest = replace(manifest, ood=replace(manifest.ood, threshold=reference.threshold))
    tensors = reference_tensors(images, reference) | cell_tensors(fit_memories(samples))
    save_model(path, manifest, network, tensors)
    return path
