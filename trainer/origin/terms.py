"""What ``dataset.json`` says of the people and rules behind a dataset, as it goes into model files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.model.training_data import ImageSizes, TrainingData

TEXTS = ("reference", "description", "field_of_view", "scanners", "ages")
MAY_USE = "released_weights_may_use"
UNKNOWN_LICENCE = "unknown"


class Described(Protocol):
    """A dataset, as far as it says something about itself."""

    @property
    def directory(self) -> Path:
        """Its folder."""

    @property
    def info(self) -> Mapping[str, Any]:
        """The whole ``dataset.json``."""


def licence_of(dataset: Described) -> str:
    """The words of ``licence``; `UNKNOWN_LICENCE` where there are none.

    Raises:
        DatasetError: it is no text.
    """
    return _text(dataset, "licence") or UNKNOWN_LICENCE


def training_data(dataset: Described, sizes: ImageSizes | None = None) -> TrainingData:
    """What a model file says of a task's images.

    Args:
        dataset: the task's.
        sizes: as they were seen.

    Raises:
        DatasetError: a value in ``dataset.json`` has the wrong type.
    """
    return TrainingData(
        released_weights_may_use=_may_use(dataset), sizes=sizes, **{key: _text(dataset, key) for key in TEXTS}
    )


def terms_of(dataset: Described) -> dict[str, Any]:
    """For the record of a training: what later ones that start from its weights must keep to.

    Raises:
        DatasetError: a value in ``dataset.json`` has the wrong type.
    """
    return {"licence": licence_of(dataset), "reference": _text(dataset, "reference"), MAY_USE: _may_use(dataset)}


def _text(dataset: Described, key: str) -> str:
    value = dataset.info.get(key, "")
    if not isinstance(value, str):
        raise DatasetError(f"'{key}' is no text", file=dataset.directory / "dataset.json", remedy="Write it in quotes")
    return value.strip()


def _may_use(dataset: Described) -> bool | None:
    value = dataset.info.get(MAY_USE)
    if value is None or isinstance(value, bool):
        return value
    raise DatasetError(
        f"'{MAY_USE}' is {value!r}", file=dataset.directory / "dataset.json", remedy="Write true or false"
    )
