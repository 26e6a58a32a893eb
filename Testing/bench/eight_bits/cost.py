"""CPU seconds of a pass in several precisions, in turns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.model_file import Model
from MultiTaskSegLib.runtime.network.backend import Backend
from MultiTaskSegLib.runtime.prediction.network_pass import NetworkPass, Wanted


def pass_cpu_s(backend: Backend, model: Model, task: TaskInfo, voxels: NDArray[np.float32]) -> float:
    """Of one pass with spectra and labels of a task, all threads of this process.

    Raises:
        ResourceError: the back end failed, so that plain torch was measured, or in smaller parts.
    """
    network_pass = NetworkPass(backend, model.manifest.architecture, model.reference.spec)
    z, y, x = voxels.shape
    started_s = time.process_time()
    network_pass.encode(voxels, lambda share: None, wanted=Wanted(task, (z, y, x)), stem=model.manifest.stem(task))
    used_s = time.process_time() - started_s
    if network_pass.notes:
        raise ResourceError(
            f"{backend.name} was not measured: {'; '.join(network_pass.notes)}", remedy="Take a smaller --volume"
        )
    return used_s


def rounds(
    backends: Mapping[str, Backend], model: Model, task: TaskInfo, voxels: NDArray[np.float32], count: int
) -> dict[str, list[float]]:
    """CPU seconds of every back end in each of ``count`` rounds, after a first pass that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in backends}
    for number in range(count + 1):
        for name, backend in backends.items():
            used_s = pass_cpu_s(backend, model, task, voxels)
            if number:
                found[name].append(used_s)
    return found


def ratio(own: list[float], other: list[float]) -> float:
    """Median over rounds of what one takes to what another takes in the same round.

    >>> ratio([1.0, 2.0, 9.0], [2.0, 2.0, 10.0])
    0.9
    """
    return median(mine / theirs for mine, theirs in zip(own, other, strict=True))
