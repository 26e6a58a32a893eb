"""The trial takes each part's time apart, on as much of a case as is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.ood.signature import signature_spec
from Testing.runtime.random_network import ARCHITECTURES, random_network
from trainer.data.case_cache import PreparedCase
from trainer.data.dataset import Dataset
from trainer.data.planning import TaskPlan
from trainer.layout.case import Case
from trainer.measuring.measurer import Measurer
from trainer.measuring.pace import measured_pace

PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
SHAPE = (8, 16, 16)


@pytest.mark.parametrize("names", [("ball",), ()], ids=["with labels", "without"])
def test_seconds_are_those_of_each_part_by_voxel(names: tuple[str, ...]) -> None:
    architecture = ARCHITECTURES["thick slices"]
    measurer = Measurer(
        random_network(architecture), signature_spec(architecture, "composite", ()), torch.device("cpu")
    )
    task = TaskPlan(Dataset(Path("d"), "D", "T1", "", {}, ()), PROFILE, 0, names, ((1,),) * len(names), SHAPE, ())
    voxels = np.random.default_rng(0).random(SHAPE).astype(np.float16)
    case = PreparedCase(Case("c", Path("i"), Path("l"), "g"), voxels, (voxels > 0.5).astype(np.uint8), {})
    # The clock is looked at five times in a trial: the first two trials' parts take 1, 2, 3 and 4 seconds.
    ticks = iter(np.cumsum([0.0, 1.0, 2.0, 3.0, 4.0] * 2))
    pace = measured_pace(measurer, task, case, 1, lambda: float(next(ticks)))
    assert pace.known_s == pytest.approx(1.0 / case.voxels.size)
    assert pace.held_out_s == pytest.approx(2.0 / case.voxels.size)
    assert pace.fit_case_s == pytest.approx(11 * 3.0)
    cells = int(np.prod([-(-n // c) for n, c in zip(SHAPE, measurer.cell, strict=True)]))
    assert pace.map_s == pytest.approx(4.0 / cells / np.prod(measurer.cell))
