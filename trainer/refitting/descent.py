"""Which files a model's figures may come from: its own, or those of the file that it was refitted from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from MultiTaskSegLib.runtime.model.manifest import Manifest
from trainer.snapshot.snapshot_model import KEY as SNAPSHOT
from trainer.snapshot.snapshot_model import Part, noted_measured

MEASURED_AS, CHECKED_AS, REFITTED_FROM = DESCENT = "measured_as", "checked_as", "refitted_from"
"""Notes of a model file with digests of earlier ones that have its weights. What holds for it of their figures: all of
them; those of labels and verdicts; what depends on neither the check nor probabilities."""
MEASURED = "measured"
"""In the entry ``training``: how many cases the figures came from that the training ended with."""


def digests_in(training: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Of earlier files, as the notes of a model file list them; notes may hold anything: what is no list lists none.

    >>> digests_in({"measured_as": ["ab", 7], "refitted_from": 7}, "measured_as")
    ('ab',)
    """
    said = training.get(key)
    return tuple(one for one in said if isinstance(one, str)) if isinstance(said, (list, tuple)) else ()


def refitted(changed: Manifest, digest: str, part: Part | None = None) -> Manifest:
    """The changed manifest with the digests of the file before: figures of the check or of probabilities that name
    these were measured before the refit, with the same weights.

    What a training says of where its figures are from is no longer so, and goes; of a snapshot, what was made anew.

    Args:
        changed: the manifest of the new file.
        digest: of the file before; empty of a model that is in no file, and of which nothing has been measured.
        part: what was made anew as a whole; None: nothing, as where the limits alone were.
    """
    training = {key: value for key, value in changed.training.items() if key not in (*DESCENT, MEASURED)}
    if part and isinstance(said := training.get(SNAPSHOT), dict):
        training |= {SNAPSHOT: noted_measured(said, part)}
    before = (digest, *(one for key in DESCENT for one in digests_in(changed.training, key)))
    if known := list(dict.fromkeys(filter(None, before))):
        training |= {REFITTED_FROM: known}
    # Verdicts and labels are others now: what lower precisions cost must be measured anew.
    return dataclasses.replace(changed, training=training, precision=None)


def requalified(changed: Manifest, digest: str) -> Manifest:
    """The changed manifest with the digest of the file before, which gives the same labels and verdicts and foretells
    another Dice.

    Args:
        changed: the manifest of the new file.
        digest: of the file before.
    """
    training = {key: value for key, value in changed.training.items() if key != MEASURED_AS}
    same = (digest, *digests_in(changed.training, MEASURED_AS), *digests_in(changed.training, CHECKED_AS))
    return dataclasses.replace(changed, training=training | {CHECKED_AS: list(dict.fromkeys(same))})


def described(changed: Manifest, digest: str) -> Manifest:
    """The changed manifest with the digest of the file before, whose figures all hold for it: nothing differs but what
    is said of the training data, or of what lower precisions cost.

    Args:
        changed: the manifest of the new file.
        digest: of the file before.
    """
    same = dict.fromkeys((digest, *digests_in(changed.training, MEASURED_AS)))
    return dataclasses.replace(changed, training=changed.training | {MEASURED_AS: list(same)})
