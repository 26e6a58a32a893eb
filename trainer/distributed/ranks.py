"""What the processes of a training do together; a training in a single process does all of it alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TextIO, TypeVar

import numpy as np
from torch import nn

Item = TypeVar("Item")
Found = TypeVar("Found")
Drawn = TypeVar("Drawn")


class Ranks(Protocol):
    """The processes of a training as one of them sees them. Each must ask the same in the same order."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def world_size(self) -> int:
        """How many there are."""

    @property
    def stream(self) -> TextIO | None:
        """Where this process tells how far it is: the first one to standard error (None), the others nowhere."""

    @property
    def may_go_on(self) -> bool:
        """Whether this may be a restart, which goes on without being asked to; the names of the run tell."""

    @property
    def run_names(self) -> frozenset[str]:
        """That tell this run from others: under which the processes met, or else of who started them; of one none."""

    def wait(self) -> None:
        """Until all processes are here."""

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every ``world_size``-th item, from the ``rank``-th on."""

    def agreed(self, make: Callable[[], Found]) -> Found:
        """What the first process makes; the others wait for it."""

    def total(self, value: float) -> float:
        """Sum over the processes, the same in all of them."""

    def each(self, items: Sequence[Item], work: Callable[[Item], Found]) -> list[Found]:
        """Of each item what ``work`` gives, in order; every process does its share."""

    def in_order(
        self,
        items: Sequence[Item],
        work: Callable[[Item], Found],
        draw: Callable[[Found], Drawn],
        generators: Sequence[np.random.Generator],
    ) -> Iterator[Drawn]:
        """Like `each` for what depends on chance: ``work`` is done side by side, ``draw`` for one item after the other.

        Args:
            items: of all processes.
            work: the long part, which draws nothing.
            draw: the short part, which may use the generators.
            generators: they go from hand to hand, so that what is drawn does not depend on the number of processes.
        """

    def averaging(self, module: nn.Module, *, some_unused: bool) -> nn.Module:
        """The module with gradients that are the mean over the processes.

        Args:
            module: of which each process has the same copy.
            some_unused: whether a parameter may have no part in a loss.
        """

    def accumulating(self, module: nn.Module) -> AbstractContextManager[None]:
        """Within the block, gradients of such a module are only added up here."""


class Alone:
    """A training in one process: nobody to share with or to wait for."""

    rank, world_size = 0, 1
    stream: TextIO | None = None
    may_go_on = False
    run_names: frozenset[str] = frozenset()

    def wait(self) -> None:
        """For nobody."""

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """All of them."""
        return items

    def agreed(self, make: Callable[[], Found]) -> Found:
        """What is made here."""
        return make()

    def total(self, value: float) -> float:
        """The value."""
        return value

    def each(self, items: Sequence[Item], work: Callable[[Item], Found]) -> list[Found]:
        """Of each item what ``work`` gives."""
        return [work(item) for item in items]

    def in_order(
        self,
        items: Sequence[Item],
        work: Callable[[Item], Found],
        draw: Callable[[Found], Drawn],
        generators: Sequence[np.random.Generator],
    ) -> Iterator[Drawn]:
        """Of each item what ``draw`` makes of what ``work`` gives."""
        return (draw(work(item)) for item in items)

    def averaging(self, module: nn.Module, *, some_unused: bool) -> nn.Module:
        """The module itself."""
        return module

    def accumulating(self, module: nn.Module) -> AbstractContextManager[None]:
        """Nothing is done otherwise."""
        return nullcontext()


ALONE = Alone()
