"""Whom a model has seen: groups (patients) of its training and of the models it was started from, as salted hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from trainer.data.dataset import Dataset
from trainer.layout.case import Case
from trainer.origin.terms import MAY_USE

KEY = "provenance"
CHECK_KEY = "known_to_check"
"""Of an imported model: whose images its reference holds. Whom its network has seen nobody knows."""
# Slow on purpose: whoever guesses a patient's name pays this for each guess, and the salt makes tables useless.
HASH_ROUNDS = 5000
HASH_LENGTH = 16

GroupsByDataset = Mapping[str, tuple[str, ...]]
PARTS = ("labelled", "unlabelled", "held_out")


@dataclass(frozen=True)
class Generation:
    """One training. Every group is a salted hash; equal names in two datasets are the same patient.

    Attributes:
        model: name of the model that came out of it.
        salt: of the hashes, hexadecimal; the same for the same cases, different for others.
        labelled: groups that were trained on with labels (of voxels or of images), by dataset.
        unlabelled: groups whose images were learnt from without labels.
        held_out: groups that temperatures, limits and held-out figures come from.
        terms: by dataset, its licence, whom to cite, and whether released weights may be made of it.
    """

    model: str
    salt: str
    labelled: GroupsByDataset
    unlabelled: GroupsByDataset = field(default_factory=dict)
    held_out: GroupsByDataset = field(default_factory=dict)
    terms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def saw(self, group: str) -> bool:
        """Whether the training learnt from the group, in whichever dataset."""
        found = group_hash(group, self.salt)
        return any(found in hashes for part in (self.labelled, self.unlabelled) for hashes in part.values())

    def knows(self, group: str) -> bool:
        """Whether the training learnt from the group, or anything of its model was fitted to or measured on it."""
        found = group_hash(group, self.salt)
        return self.saw(group) or any(found in hashes for hashes in self.held_out.values())

    def tells(self, other: Generation) -> bool:
        """Whether this is the record of the same training; refits may have noted more patients as held out since."""
        kept = all(set(hashes) <= set(self.held_out.get(name, ())) for name, hashes in other.held_out.items())
        return kept and replace(self, held_out=other.held_out) == other

    def with_terms(self, known: Mapping[str, Mapping[str, Any]]) -> Generation:
        """With the terms of datasets that it learnt from and says nothing of."""
        more = {name: known[name] for name in (*self.labelled, *self.unlabelled) if name in known}
        return replace(self, terms=more | dict(self.terms))

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        parts = {part: {name: list(hashes) for name, hashes in getattr(self, part).items()} for part in PARTS}
        terms = {name: dict(own) for name, own in self.terms.items()}
        return {"model": self.model, "salt": self.salt, **parts, "terms": terms}


@dataclass(frozen=True)
class Provenance:
    """Everybody whom a model has learnt from.

    Attributes:
        generations: the model's own training first, then that of the model it was started from, and so on.
    """

    generations: tuple[Generation, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> Provenance:
        """What a model file says; terms that stand with the tasks alone, as earlier versions noted them, are taken in.

        Raises:
            ModelError: it does not say whom the model has seen.
        """
        terms = {task.name: _terms_of_task(task) for task in manifest.tasks}
        try:
            own, *earlier = (_generation(plain).with_terms(terms) for plain in manifest.training[KEY])
            return cls((own, *earlier))
        except (KeyError, TypeError, AttributeError, ValueError):
            raise ModelError(
                f"the file of model {manifest.name!r} does not say on which patients it was trained",
                remedy="Train it with this version; what was measured on patients that it may know is worth nothing",
            ) from None

    def saw(self, group: str) -> bool:
        """Whether the model or one that it descends from has learnt from the group, with labels or without."""
        return any(generation.saw(group) for generation in self.generations)

    def knows(self, group: str) -> bool:
        """Whether anything of the model, or of one that it descends from, was learnt, fitted or measured with the
        group: weights, temperatures, limits, what corrects the predicted Dice, and its bound."""
        return any(generation.knows(group) for generation in self.generations)

    def with_held_out(self, held_out: Mapping[str, Iterable[Case]]) -> Provenance:
        """With what a refit was fitted to or measured on, by dataset, in the first record."""
        own, *earlier = self.generations
        more = {
            name: tuple(sorted({*own.held_out.get(name, ()), *hashes}))
            for name, hashes in _hashed(held_out, own.salt).items()
        }
        return Provenance((replace(own, held_out={**own.held_out, **more}), *earlier))

    def as_list(self) -> list[dict[str, Any]]:
        """For the manifest's ``training["provenance"]``."""
        return [generation.as_dict() for generation in self.generations]


NOBODY = Provenance(())


def record_generation(
    model: str,
    labelled: Mapping[str, Sequence[Case]],
    unlabelled: Mapping[str, Sequence[Case]],
    held_out: Mapping[str, Sequence[Case]],
    terms: Mapping[str, Mapping[str, Any]] | None = None,
) -> Generation:
    """The record of a training on these cases, by dataset; ``terms`` as in `Generation`."""
    parts = (labelled, unlabelled, held_out)
    lines = sorted(
        f"{name}\0{case.group}\0{case.name}" for part in parts for name, cases in part.items() for case in cases
    )
    salt = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:HASH_LENGTH]
    seen, looked_at, kept = (_hashed(part, salt) for part in parts)
    return Generation(model, salt, seen, looked_at, kept, dict(terms or {}))


@lru_cache(maxsize=1 << 16)
def group_hash(group: str, salt: str) -> str:
    """Salted hash of a group's name (PBKDF2, SHA-256): it can be recognised, but the file names no patient."""
    digest = hashlib.pbkdf2_hmac("sha256", group.encode(), bytes.fromhex(salt), HASH_ROUNDS)
    return digest.hex()[:HASH_LENGTH]


def unseen(dataset: Dataset, manifest: Manifest) -> tuple[Case, ...]:
    """Cases of patients whom the model has never seen, in no dataset and in no earlier training.

    This is the only answer to "which cases may a figure be measured on".

    Raises:
        ModelError: the model file does not say whom the model has seen.
    """
    provenance = Provenance.of(manifest)
    return tuple(case for case in dataset.cases if not provenance.saw(case.group))


def noted_held_out(manifest: Manifest, held_out: Mapping[str, Iterable[Case]]) -> Manifest:
    """The manifest of a refit with its patients among those whom the model knows.

    Args:
        manifest: of the new file.
        held_out: cases that it was fitted to or measured on, by dataset; none that the network has seen.

    Raises:
        ModelError: the model file does not say whom the model has seen.
    """
    provenance = Provenance.of(manifest)
    new = {name: [case for case in cases if not provenance.knows(case.group)] for name, cases in held_out.items()}
    if not any(new.values()):
        return manifest
    return replace(manifest, training={**manifest.training, KEY: provenance.with_held_out(new).as_list()})


def unknown_to_check(dataset: Dataset, manifest: Manifest | ImportedManifest) -> tuple[Case, ...]:
    """Cases of patients whom the model's check does not know; of an imported model its network may have seen them.

    Raises:
        ModelError: the model file does not say whom its check knows.
    """
    if not isinstance(manifest, ImportedManifest):
        return unseen(dataset, manifest)
    try:
        known = _generation(manifest.training[CHECK_KEY])
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ModelError(
            f"the file of model {manifest.name!r} does not say of which patients the images of its reference are",
            remedy="Fit it again with 'multitaskseg-trainer reference'",
        ) from None
    return tuple(case for case in dataset.cases if not known.saw(case.group))


def checked_datasets(manifest: Manifest | ImportedManifest) -> frozenset[str]:
    """Names of the datasets whose images the reference of an imported model holds; none of a file without.

    They need not be named as the task: whoever imports a model may keep its images in several folders.
    """
    said = manifest.training.get(CHECK_KEY) if isinstance(manifest, ImportedManifest) else None
    parts = [said.get(part) for part in PARTS] if isinstance(said, dict) else []
    return frozenset(name for part in parts if isinstance(part, dict) for name in part)


def require_unseen(cases: Iterable[Case], manifest: Manifest) -> None:
    """Refuse to measure a model on cases of which it has seen a patient.

    Raises:
        ModelError: it has, or its file does not say whom it has seen.
    """
    provenance = Provenance.of(manifest)
    seen = sorted({case.name for case in cases if provenance.saw(case.group)})
    if seen:
        raise ModelError(
            f"model {manifest.name!r} has seen patients whom it is to be measured on ({', '.join(seen[:3])} ...)",
            remedy="Start from a model that has not, or leave these cases out",
        )


def _hashed(cases: Mapping[str, Iterable[Case]], salt: str) -> dict[str, tuple[str, ...]]:
    by_dataset = {name: tuple(sorted({group_hash(c.group, salt) for c in own})) for name, own in cases.items()}
    return {name: hashes for name, hashes in by_dataset.items() if hashes}


def _terms_of_task(task: TaskInfo) -> dict[str, Any]:
    """As `trainer.origin.terms.terms_of` has them."""
    data = task.data
    return {"licence": task.licence, "reference": data.reference, MAY_USE: data.released_weights_may_use}


def _generation(plain: Mapping[str, Any]) -> Generation:
    parts = ({name: tuple(hashes) for name, hashes in plain[part].items()} for part in PARTS)
    labelled, unlabelled, held_out = parts
    # Files of earlier versions say nothing of terms.
    terms = dict(plain.get("terms", {}))
    bytes.fromhex(str(plain["salt"]))
    return Generation(str(plain["model"]), str(plain["salt"]), labelled, unlabelled, held_out, terms)
