"""Ways to get probabilities whose entropy tells how far a voxel can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork, Stage
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.calibration.scaling import log_probabilities_of, softmax
from trainer.data.labelled_case import LabelledCase
from trainer.identity.weights_digest import weights_digest
from trainer.tiled.task_logits import task_logits

SMALLEST_PROBABILITY = 1e-12


class Estimator(Protocol):
    """One way to estimate the probabilities of a task's labels.

    Attributes:
        name: short and unique.
        settings: everything the result depends on besides the image; results are kept under its digest.
    """

    name: str
    settings: Mapping[str, object]

    def passes(self, task: TaskInfo) -> int:
        """How often a network runs over an image of this task; 0 when the estimator does not apply to it."""

    def log_probabilities(self, case: LabelledCase) -> NDArray[np.float32]:
        """Logarithms of the probabilities before calibration, ``(1 + labels, Z, Y, X)`` on the network's grid."""


class SinglePass:
    """The network as it ships: one pass, and the entropy of its softmax."""

    name = "single_pass"

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.settings: Mapping[str, object] = {"network": network_digest(predictor.network)}

    def passes(self, task: TaskInfo) -> int:
        """One."""
        return 1

    def log_probabilities(self, case: LabelledCase) -> NDArray[np.float32]:
        """See `Estimator`."""
        return log_probabilities_of(_logits(self._predictor, case.prepared.voxels, case.task))


class MirrorTta:
    """Test-time augmentation: the mean of the probabilities of the image and of its left-right mirror image.

    Only for tasks that may be mirrored: where labels have a side, or where the network never saw a mirrored image,
    the mirror image is another task.

    Args:
        predictor: the model.
        tasks: names of the tasks that may be mirrored.
    """

    name = "mirror_tta"

    def __init__(self, predictor: Predictor, tasks: Sequence[str]) -> None:
        self._predictor, self._tasks = predictor, frozenset(tasks)
        self.settings: Mapping[str, object] = {"network": network_digest(predictor.network)}

    def passes(self, task: TaskInfo) -> int:
        """Two, or none for a task that must not be mirrored."""
        return 2 if task.name in self._tasks else 0

    def log_probabilities(self, case: LabelledCase) -> NDArray[np.float32]:
        """See `Estimator`."""
        voxels = case.prepared.voxels
        plain = _logits(self._predictor, voxels, case.task)
        mirrored = _logits(self._predictor, np.ascontiguousarray(voxels[..., ::-1]), case.task)
        return log_mean([softmax(plain), softmax(mirrored)[..., ::-1]])


def mirrored_tasks(predictor: Predictor, more: Sequence[str] = ()) -> list[str]:
    """Tasks that the training mirrored left and right, as the model file records, and those named by the user.

    Raises:
        UsageError: the model has no such task.
    """
    names = [task.name for task in predictor.manifest.tasks]
    unknown = sorted(set(more) - set(names))
    if unknown:
        raise UsageError(f"the model has no task {unknown[0]!r}", remedy=f"Use {', '.join(names)}")
    config = predictor.manifest.training.get("config", {})
    axes = config.get("mirror_axes", {}) if isinstance(config, dict) else {}
    return [name for name in names if "x" in axes.get(name, "") or name in more]


class McDropout:
    """Monte Carlo dropout on a network that was trained without (Ledda et al. 2023, "Dropout injection at test time").

    Every stage's output is multiplied by a random mask that keeps the mean (inverted dropout); the probabilities of
    several passes are averaged (Gal & Ghahramani 2016).

    Args:
        predictor: the model.
        passes: how many.
        rate: share of activations set to 0, in [0, 1).
        seed: of the masks; every case starts from it, so that a result does not depend on the cases before it.
    """

    name = "mc_dropout"

    def __init__(self, predictor: Predictor, passes: int = 10, rate: float = 0.1, seed: int = 0) -> None:
        if passes < 1 or not 0 <= rate < 1:
            raise UsageError(
                f"{passes} passes with rate {rate} are impossible", remedy="Use 1 or more, and a rate below 1"
            )
        self._predictor, self._passes, self._rate, self._seed = predictor, passes, rate, seed
        self.settings: Mapping[str, object] = {
            "network": network_digest(predictor.network),
            "passes": passes,
            "rate": rate,
            "seed": seed,
        }

    def passes(self, task: TaskInfo) -> int:
        """As many as asked for."""
        return self._passes

    def log_probabilities(self, case: LabelledCase) -> NDArray[np.float32]:
        """See `Estimator`."""
        generator = torch.Generator(self._predictor.device).manual_seed(self._seed)
        with injected_dropout(self._predictor.network, self._rate, generator):
            return log_mean(
                softmax(_logits(self._predictor, case.prepared.voxels, case.task)) for _ in range(self._passes)
            )


@contextmanager
def injected_dropout(network: SegmentationNetwork, rate: float, generator: torch.Generator) -> Iterator[None]:
    """Drop activations of every stage's output while the context lasts.

    Args:
        network: any.
        rate: share of activations set to 0; the others are divided by 1 - rate.
        generator: on the network's device.
    """

    def drop(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        """The output with dropout."""
        kept = torch.rand(output.shape, generator=generator, device=output.device) >= rate
        return output * kept / (1.0 - rate)

    stages = [module for module in network.modules() if isinstance(module, Stage)]
    hooks = [stage.register_forward_hook(drop) for stage in stages]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class Ensemble:
    """Deep ensemble: the mean of the probabilities of several trainings (Lakshminarayanan et al. 2017).

    Args:
        predictors: models; those without a case's task, or with another grid for it, sit out.
    """

    name = "ensemble"

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        self._predictors = tuple(predictors)
        self.settings: Mapping[str, object] = {"networks": [network_digest(p.network) for p in predictors]}

    def passes(self, task: TaskInfo) -> int:
        """One per model with the task; none when fewer than two have it."""
        count = len(self._members(task))
        return count if count > 1 else 0

    def log_probabilities(self, case: LabelledCase) -> NDArray[np.float32]:
        """See `Estimator`."""
        return log_mean(
            softmax(_logits(predictor, case.prepared.voxels, task)) for predictor, task in self._members(case.task)
        )

    def _members(self, task: TaskInfo) -> list[tuple[Predictor, TaskInfo]]:
        """Models that mean the same by the task: same grid, same labels."""
        meant = (task.name, task.profile, [label.value for label in task.labels])
        pairs = [(predictor, own) for predictor in self._predictors for own in predictor.manifest.tasks]
        return [(p, own) for p, own in pairs if (own.name, own.profile, [x.value for x in own.labels]) == meant]


def network_digest(network: SegmentationNetwork) -> str:
    """SHA-256 of the weights: what a network answers does not depend on the rest of its model file."""
    return weights_digest(network.state_dict())


def log_mean(members: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Logarithm of the mean of probabilities, taken in one after the other so that only one is in memory."""
    total: NDArray[np.float32] | None = None
    count = 0
    for member in members:
        total = member.copy() if total is None else total + member
        count += 1
    if total is None:
        raise ValueError("there are no probabilities to average")
    logarithm: NDArray[np.float32] = np.log(np.maximum(total / np.float32(count), np.float32(SMALLEST_PROBABILITY)))
    return logarithm


def _logits(predictor: Predictor, voxels: NDArray[np.float32], task: TaskInfo) -> NDArray[np.float32]:
    return task_logits(predictor.network, voxels, task, device=predictor.device)
