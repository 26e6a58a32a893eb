"""The processes that ``torchrun`` starts, through torch.distributed: gloo on processors, NCCL on graphics cards."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TextIO, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trainer.distributed.ranks import Drawn, Found, Item

# The run id of rendezvous that were given none.
UNNAMED = ("", "none", "default")


class TorchRanks:
    """The processes of the default group, which must be there; see `trainer.distributed.ranks.Ranks`.

    Objects travel pickled, as all of torch.distributed lets them: its processes trust their network.

    Args:
        stream: where this process tells how far it is.
        environment: what ``torchrun`` has told it.
    """

    def __init__(self, stream: TextIO | None, environment: Mapping[str, str] = os.environ) -> None:
        self.rank, self.world_size, self.stream = dist.get_rank(), dist.get_world_size(), stream
        name = environment.get("TORCHELASTIC_RUN_ID", "")
        is_named = name not in UNNAMED
        # Each machine counts the failures of its own processes.
        self.may_go_on = self.total(float(environment.get("TORCHELASTIC_RESTART_COUNT", "0"))) > 0 or is_named
        # Whoever has started these processes starts them again, and after a restart another one may have the first.
        self.run_names = frozenset([name] if is_named else self._all(f"{socket.gethostname()} {os.getppid()}"))

    def wait(self) -> None:
        """Until all processes are here."""
        self.total(0.0)

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every ``world_size``-th item, from the ``rank``-th on."""
        return items[self.rank :: self.world_size]

    def agreed(self, make: Callable[[], Found]) -> Found:
        """What the first process makes."""
        return cast(Found, self._told(make() if self.rank == 0 else None, by=0))

    def total(self, value: float) -> float:
        """Sum over the processes, added up in the same order everywhere."""
        values = torch.zeros(self.world_size, dtype=torch.float64)
        values[self.rank] = value
        dist.all_reduce(values)
        return float(values.sum())

    def each(self, items: Sequence[Item], work: Callable[[Item], Found]) -> list[Found]:
        """Of each item what ``work`` gives, in order."""
        parts = self._all([work(item) for item in self.share(items)])
        return [parts[number % self.world_size][number // self.world_size] for number in range(len(items))]

    def in_order(
        self,
        items: Sequence[Item],
        work: Callable[[Item], Found],
        draw: Callable[[Found], Drawn],
        generators: Sequence[np.random.Generator],
    ) -> Iterator[Drawn]:
        """Round by round: each process works on an item of its own, then they draw in turn."""
        for begin in range(0, len(items), self.world_size):
            round_of = items[begin : begin + self.world_size]
            own = work(round_of[self.rank]) if self.rank < len(round_of) else None
            for owner in range(len(round_of)):
                made = (draw(cast(Found, own)), _states(generators)) if owner == self.rank else None
                drawn, states = self._told(made, by=owner)
                for generator, state in zip(generators, states, strict=True):
                    generator.bit_generator.state = state
                yield drawn

    def averaging(self, module: nn.Module, *, some_unused: bool) -> nn.Module:
        """The module under `DistributedDataParallel`, unless there is nothing to average."""
        if self.world_size == 1:
            return module
        # Kernels of one voxel have their channels last in two ways, which changes nothing.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        return DistributedDataParallel(module, find_unused_parameters=some_unused)

    def accumulating(self, module: nn.Module) -> AbstractContextManager[None]:
        """`DistributedDataParallel.no_sync`."""
        return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()

    def _all(self, own: Any) -> list[Any]:
        parts: list[Any] = [None] * self.world_size
        dist.all_gather_object(parts, own)
        return parts

    def _told(self, value: Any, by: int) -> Any:
        told = [value]
        dist.broadcast_object_list(told, src=by)
        return told[0]


def _states(generators: Sequence[np.random.Generator]) -> list[Any]:
    return [generator.bit_generator.state for generator in generators]
