"""Ways to segment an image several times: what they agree on is probably right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Protocol

from MultiTaskSegLib.runtime.errors import ResourceError, UsageError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.runtime.quality.pairwise_dice import pairwise_dice
from MultiTaskSegLib.runtime.thorough.change import CONTRASTS, PERCENTILES, PROPORTIONS, SIZES
from MultiTaskSegLib.runtime.thorough.further_looks import agreement_of
from trainer.failure.shipped_look import dropout_labels, look

ENSEMBLE, SNAPSHOTS, DROPOUT, LOOKS = "ensemble", "snapshots", "dropout", "looks"


class Repeat(Protocol):
    """One way.

    Attributes:
        name: short and unique.
        settings: all that the result depends on besides the image and the model that is measured.
    """

    name: str
    settings: Mapping[str, object]

    def agreement(self, volume: Volume, task: TaskInfo) -> float:
        """Pairwise Dice of the segmentations of an image; NaN where none has found anything.

        Raises:
            InputError: the image cannot be prepared.
            ResourceError: memory runs out.
        """


class Dropout:
    """The network several times, with activations dropped at random (Monte Carlo dropout, injected at test time).

    Args:
        predictor: the model.
        passes: how many, two or more.
        rate: share of activations set to 0.
        seed: of the masks, which are the same for every image.

    Raises:
        UsageError: there is nothing to compare.
    """

    name = DROPOUT

    def __init__(self, predictor: Predictor, passes: int, rate: float = 0.1, seed: int = 0) -> None:
        if passes < 2 or not 0 < rate < 1:
            raise UsageError(
                f"{passes} passes that drop {rate:g} of the activations cannot be compared",
                remedy="Use 2 passes or more, and a rate between 0 and 1",
            )
        self._predictor, self._passes, self._rate, self._seed = predictor, passes, rate, seed
        self.settings: Mapping[str, object] = {"passes": passes, "rate": rate, "seed": seed}

    def agreement(self, volume: Volume, task: TaskInfo) -> float:
        """See `Repeat`; on the network's grid."""
        maps = list(dropout_labels(self._predictor, volume, task, self._passes, self._rate, self._seed))
        return pairwise_dice(maps, range(1, 1 + len(task.labels)))


class Ensemble:
    """Several networks that were trained for the same tasks, the one that is measured first.

    Args:
        predictors: two or more.
        name: of the way, see `Repeat`; `SNAPSHOTS` of networks that one training has left.
    """

    def __init__(self, predictors: Sequence[Predictor], name: str = ENSEMBLE) -> None:
        self.name, self._predictors = name, tuple(predictors)
        self.settings: Mapping[str, object] = {"models": [predictor.model.digest for predictor in predictors]}

    def agreement(self, volume: Volume, task: TaskInfo) -> float:
        """See `Repeat`; on the image's own grid."""
        maps = [look(p, volume, p.manifest.task(task.name)).maps.labels for p in self._predictors]
        return pairwise_dice(maps, [label.value for label in task.labels])


class FurtherLooks:
    """The network once more on changed copies of the image, each compared with what it finds in the image itself: the
    thorough check, as it ships.

    Args:
        predictor: the model.
    """

    name = LOOKS

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        changes = {change.name: asdict(change) for change in (*SIZES, *CONTRASTS)}
        self.settings: Mapping[str, object] = {"changes": changes | PROPORTIONS, "percentiles": PERCENTILES}

    def agreement(self, volume: Volume, task: TaskInfo) -> float:
        """See `Repeat`; on the image's own grid."""
        found = self._predictor.segment(volume, task.name)
        checked, failures = agreement_of(self._predictor, volume, found, _untold)
        # Memory that was short today says nothing of the image, and what is stored is not measured again.
        if failures and (checked is None or isinstance(failures[-1], ResourceError)):
            raise failures[-1]
        return float("nan") if checked is None or checked.mean is None else checked.mean


def _untold(share: float, step: str) -> None:
    """Nobody wants to know."""


def require_same_labels(predictors: Sequence[Predictor], task: TaskInfo) -> None:
    """Refuse models that do not mean the same by a task's labels.

    Raises:
        UsageError: one lacks the task, or has other labels.
    """
    meant = [(label.name, label.value) for label in task.labels]
    for predictor in predictors:
        own = [t for t in predictor.manifest.tasks if t.name == task.name]
        if not own or [(label.name, label.value) for label in own[0].labels] != meant:
            raise UsageError(
                f"the model {predictor.manifest.name} has no task {task.name} with the same labels",
                remedy="Give models that were trained on the same datasets",
            )
