"""Several channels and regions take no more memory than is told beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.image.input_frame import input_frame
from MultiTaskSegLib.runtime.image.preparation import prepare, preparing_bytes
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream
from MultiTaskSegLib.runtime.labels.labelling import finished, finishing_bytes
from MultiTaskSegLib.runtime.labels.running_regions import RunningRegions
from MultiTaskSegLib.runtime.ood.cell_features import describing_bytes, image_cells
from Testing.runtime.channel_model import ONE, REGIONS, TWO, channel_manifest
from Testing.runtime.hosting.test_memory_estimate import allocated

SHAPE = (40, 60, 50)


def noise(channels: int, spacing_mm: float = 2.0) -> Volume:
    arrays = np.random.default_rng(0).random((channels, *SHAPE), dtype=np.float32)
    return Volume(arrays[0], np.diag([spacing_mm] * 3 + [1.0]), "noise", further=tuple(arrays[1:]))


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0, 3.0])
def test_preparing_channels_takes_no_more_than_estimated(spacing_mm: float) -> None:
    volume, profile = noise(2, spacing_mm), channel_manifest().task(TWO).profile
    need = preparing_bytes(input_frame(volume, profile), 2)
    assert allocated(lambda: prepare(volume, profile)) <= need + 1_000_000


def test_cells_of_channels_take_as_much_as_those_of_one_at_a_time() -> None:
    prepared = prepare(noise(2), channel_manifest().task(TWO).profile)
    assert allocated(lambda: image_cells(prepared.voxels, (2, 4, 4))) <= describing_bytes(SHAPE) + 1_000_000


def test_regions_take_no_more_than_estimated() -> None:
    manifest = channel_manifest()
    task = replace(manifest.task(REGIONS), inputs=(), profile=manifest.task(ONE).profile)
    prepared = prepare(noise(1), task.profile)
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32))
    stream = LabelStream(task, SHAPE, SHAPE)
    told = LabelStream.working_bytes(2 * 2, SHAPE, SHAPE, SHAPE[0])
    assert allocated(lambda: stream.push_logits(logits)) + logits.nbytes <= told + RunningRegions.held_bytes(2, SHAPE)
    need = finishing_bytes(prepared.frame, False, 2)
    assert allocated(lambda: finished(stream.running, task, prepared)) <= need + 100_000
