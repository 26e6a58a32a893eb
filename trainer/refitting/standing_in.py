"""Images without labels that stand in for a task's own where the check is fitted.

A network that was trained on drawn images is used on real ones: these are what its check must know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from trainer.data.dataset import Dataset
from trainer.data.image_source import read_image_source
from trainer.data.provenance import Generation, record_generation
from trainer.data.split import ranked_groups
from trainer.origin.terms import terms_of

# A limit that comes from few groups is wide: more are held out than of a task's own images.
HELD_OUT_SHARE = 1 / 3
LEAST_GROUPS = 6
SPLIT_SEED = 0


@dataclass(frozen=True)
class StandingIn:
    """Images of one task.

    Attributes:
        dataset: without labels.
        held_out: names of the cases that the limit is fitted on; the others are what is known.
    """

    dataset: Dataset
    held_out: frozenset[str]

    def generation(self, model: str) -> Generation:
        """For the record of whom the model has seen: nothing that is said of it may be measured on them."""
        own = self.dataset
        known, kept = ([c for c in own.cases if (c.name in self.held_out) is held] for held in (False, True))
        return record_generation(model, {}, {own.name: known}, {own.name: kept}, {own.name: terms_of(own)})


def read_standing_in(directory: Path) -> StandingIn:
    """Read a folder of images and hold out a third of its groups.

    Args:
        directory: as for `trainer.data.image_source.read_image_source`; groups (patients) come from ``cases.csv``.

    Raises:
        DatasetError: there are images of fewer than six groups.
    """
    dataset = read_image_source(directory).dataset
    groups = ranked_groups(dataset.cases, SPLIT_SEED)
    if len(groups) < LEAST_GROUPS:
        raise DatasetError(
            f"{dataset.name} has images of {len(groups)} groups (patients), a check needs {LEAST_GROUPS}",
            file=dataset.directory,
            remedy="Give images of more patients",
        )
    chosen = set(groups[: round(HELD_OUT_SHARE * len(groups))])
    return StandingIn(dataset, frozenset(case.name for case in dataset.cases if case.group in chosen))


def images_by_task(words: Iterable[str]) -> dict[str, Path]:
    """Folder by task, from words of the command line.

    >>> images_by_task(["heads_brain=data/heads"])["heads_brain"].name
    'heads'

    Raises:
        UsageError: a word is not ``TASK=DIR``, or a task comes twice.
    """
    folders: dict[str, Path] = {}
    for word in words:
        task, _, folder = word.partition("=")
        if not task or not folder or task in folders:
            raise UsageError(f"--images has {word!r}", remedy="Give TASK=DIR, each task once")
        folders[task] = Path(folder)
    return folders
