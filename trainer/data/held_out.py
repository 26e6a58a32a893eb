"""Which cases a model has never seen, told by the hashes of their groups in its manifest."""

from __future__ import annotations

import hashlib

from MultiTaskSegLib.runtime.model.manifest import Manifest
from trainer.data.dataset import Dataset
from trainer.layout.case import Case


def group_hash(group: str) -> str:
    """Short SHA-256 of a group's name: it can be recognised, but the file names no patient."""
    return hashlib.sha256(group.encode()).hexdigest()[:16]


def held_out_cases(dataset: Dataset, manifest: Manifest) -> tuple[Case, ...]:
    """Cases whose group the model never saw; all of them when it was not trained on this dataset."""
    known = manifest.training.get("held_out_groups", {}).get(dataset.name)
    if known is None:
        return dataset.cases
    return tuple(case for case in dataset.cases if group_hash(case.group) in set(known))
