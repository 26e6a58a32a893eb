"""The trial takes each part's time apart, on as much of a case as is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from MultiTaskSegLib.runtime.ood.signature import signature_spec
from Testing.runtime.random_network import ARCHITECTURES, random_network
from trainer.data.case_cache import PreparedCase
from trainer.layout.case import Case, LabelMap
from trainer.measuring.measurer import Measurer
from trainer.measuring.pace import measured_pace

PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
SHAPE = (8, 16, 16)


@dataclass(frozen=True)
class InMemory:
    """Reads no file."""

    volume: Volume
    truth: NDArray[np.int32]

    def files(self, case: Case) -> tuple[Path, ...]:
        return ()

    def image(self, case: Case) -> Volume:
        return self.volume

    def labels(self, case: Case) -> LabelMap:
        return self.truth, self.volume.ijk_to_lps


@pytest.mark.parametrize("names", [("ball",), ()], ids=["with labels", "without"])
def test_seconds_are_those_of_each_part_by_voxel(names: tuple[str, ...]) -> None:
    architecture = ARCHITECTURES["thick slices"]
    measurer = Measurer(
        random_network(architecture), signature_spec(architecture, "composite", ()), torch.device("cpu")
    )
    labels = tuple(LabelInfo(1, name, name, (1, 2, 3), "") for name in names)
    task = TaskInfo("D", "T1", "", labels, PROFILE, 0, 1.0, "", 0, 0)
    volume = Volume(np.random.default_rng(0).random(SHAPE, dtype=np.float32), np.diag([1.0, 1.0, 1.0, 1.0]), "c")
    reader = InMemory(volume, (volume.voxels > 0.5).astype(np.int32))
    voxels = volume.voxels.astype(np.float16)
    case = PreparedCase(Case("c", Path("i"), Path("l"), "g", reader), voxels, reader.truth.astype(np.uint8), {})
    # Where there are labels the clock is looked at twice around reading, then five times: 1, 2, 3 and 4 seconds.
    seconds = [0.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0] if names else [0.0, 1.0, 2.0, 3.0, 4.0]
    ticks = iter(np.cumsum(seconds))
    pace = measured_pace(measurer, task, {1: "ball"}, case, 1, lambda: float(next(ticks)))
    assert pace.known_s == pytest.approx(1.0 / case.voxels.size)
    # A labelled case is read once for its temperatures and once for its labels.
    assert pace.held_out_s == pytest.approx((2.0 + (2 * 7.0 if names else 0.0)) / case.voxels.size)
    assert pace.fit_case_s == pytest.approx(11 * 3.0)
    cells = int(np.prod([-(-n // c) for n, c in zip(SHAPE, measurer.cell, strict=True)]))
    assert pace.map_s == pytest.approx(4.0 / cells / np.prod(measurer.cell))
