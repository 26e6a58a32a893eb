"""The command line of the trainer, with a checkpoint after every step; in one step a process is killed, once.

Run by torchrun with ``KILL_AT=RANK:STEP`` in the environment.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from trainer import cli
from trainer.training import training
from trainer.training.optimization import Optimization

plain = Optimization.train_step


def train_step(self: Optimization, groups: Sequence[Any], *arguments: Any) -> dict[str, float]:
    """A step, unless it is the last one of this process."""
    rank, step = map(int, os.environ["KILL_AT"].split(":"))
    is_first_life = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if is_first_life and (self.ranks.rank, self.step) == (rank, step):
        os.kill(os.getpid(), signal.SIGKILL)
    if not is_first_life and not self.step:
        raise AssertionError("the restarted run began anew")
    return plain(self, groups, *arguments)


if __name__ == "__main__":
    training.CHECKPOINT_INTERVAL_S = -1.0
    Optimization.train_step = train_step  # type: ignore[method-assign]
    raise SystemExit(cli.main(sys.argv[1:]))
