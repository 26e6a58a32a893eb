"""Which files a model's figures may come from: its own, or those of the file that it was refitted from."""

from __future__ import annotations

import dataclasses

from MultiTaskSegLib.runtime.model.manifest import Manifest

MEASURED_AS, REFITTED_FROM = "measured_as", "refitted_from"


def refitted(changed: Manifest, digest: str) -> Manifest:
    """The changed manifest with the digests of the file before: figures of the check or of probabilities that name
    these were measured before the refit, with the same weights.

    Args:
        changed: the manifest of the new file.
        digest: of the file before; empty of a model that is in no file, and of which nothing has been measured.
    """
    training = dict(changed.training)
    before = (digest, *training.pop(MEASURED_AS, ()), *training.pop(REFITTED_FROM, ()))
    if known := list(dict.fromkeys(filter(None, before))):
        training |= {REFITTED_FROM: known}
    # Verdicts and labels are others now: what lower precisions cost must be measured anew.
    return dataclasses.replace(changed, training=training, precision=None)


def described(changed: Manifest, digest: str) -> Manifest:
    """The changed manifest with the digest of the file before, whose figures all hold for it: nothing differs but what
    is said of the training data.

    Args:
        changed: the manifest of the new file.
        digest: of the file before.
    """
    training = dict(changed.training)
    same = dict.fromkeys((digest, *training.get(MEASURED_AS, ())))
    return dataclasses.replace(changed, training=training | {MEASURED_AS: list(same)})
