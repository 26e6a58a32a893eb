"""Batches of a training, made beside it by processes of their own, and what is said when one of those fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from MultiTaskSegLib.runtime.errors import MtsError, ResourceError
from trainer.config import TrainingConfig
from trainer.data.patches import StepRange

PREFETCHED = 4
# Python 3.14 starts processes on Linux from a server, which each of them takes for the training: server and processes
# would stay for ever after a training that was killed.
START_METHOD = "fork" if sys.platform == "linux" else None
# How torch begins whatever it says of its processes.
LOADER = "DataLoader"


def endless_batches(
    items: Dataset[Any],
    first_step: int,
    items_per_step: int,
    config: TrainingConfig,
    own: Sequence[int] | None = None,
) -> Iterator[Any]:
    """Items from those of a step on, without end.

    Args:
        items: item i depends on nothing but i.
        first_step: whose items come first.
        items_per_step: how many belong to a step.
        config: gives the number of processes.
        own: of a step's items those that this process of the training makes; None: all.

    Raises:
        MtsError: as the items raise it, in whichever process.
    """
    loader = DataLoader(
        _Answers(items),
        sampler=StepRange(first_step, items_per_step, own),
        batch_size=None,
        num_workers=config.workers,
        prefetch_factor=PREFETCHED if config.workers else None,
        multiprocessing_context=START_METHOD if config.workers else None,
        # The order of samples comes from their numbers alone; the loader itself draws nothing that matters.
        generator=torch.Generator().manual_seed(config.seed),
    )
    for answer in loader:
        if isinstance(answer, MtsError):
            raise answer
        yield answer


class _Answers(Dataset[Any]):
    """Items, or the typed errors in their place: torch would hand on a page of the process's own lines instead."""

    def __init__(self, items: Dataset[Any]) -> None:
        self.items = items

    def __getitem__(self, index: int) -> Any:
        """Item number ``index``, or why there is none."""
        try:
            return self.items[index]
        except MtsError as error:
            return error


@contextmanager
def ended_processes_told() -> Iterator[None]:
    """Within the block, the end of a process that makes batches becomes a typed error; torch notices it anywhere.

    Raises:
        ResourceError: a process ended, mostly because the system took its memory away.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith(LOADER):
            raise
        raise ResourceError(
            f"a process that prepares patches has ended ({' '.join(str(error).split())})",
            remedy="Mostly memory was short: go on with --resume, and with workers = 0 in the configuration",
        ) from error
