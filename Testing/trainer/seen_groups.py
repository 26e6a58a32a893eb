"""What a manifest says of a model that was trained on given groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

from MultiTaskSegLib.runtime.model.training_data import TrainingData
from trainer.data.provenance import KEY, Provenance, record_generation
from trainer.layout.case import Case


def trained_on(
    labelled: Mapping[str, Iterable[str]], unlabelled: Mapping[str, Iterable[str]] = MappingProxyType({})
) -> dict[str, Any]:
    """The manifest's ``training`` of a model that has seen these groups, by dataset."""
    generation = record_generation("m", _cases(labelled), _cases(unlabelled), {})
    return {KEY: Provenance((generation,)).as_list()}


def stand_in(name: str) -> Any:
    """A task of which nothing matters but its name."""
    return SimpleNamespace(name=name, licence="", data=TrainingData())


def _cases(groups: Mapping[str, Iterable[str]]) -> dict[str, list[Case]]:
    return {name: [Case(group, Path("i"), None, group) for group in own] for name, own in groups.items()}
