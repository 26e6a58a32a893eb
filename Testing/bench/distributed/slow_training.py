"""The command line of the trainer, with a checkpoint after every step and steps that take a while. Run by torchrun."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from trainer import cli
from trainer.training import training
from trainer.training.optimization import Optimization

PAUSE_S = 0.4
plain = Optimization.train_step


def train_step(self: Optimization, groups: Sequence[Any], *arguments: Any) -> dict[str, float]:
    """A step after a pause, so that random moments are spread over many steps."""
    time.sleep(PAUSE_S)
    return plain(self, groups, *arguments)


if __name__ == "__main__":
    training.CHECKPOINT_INTERVAL_S = -1.0
    Optimization.train_step = train_step  # type: ignore[method-assign, assignment]
    raise SystemExit(cli.main(sys.argv[1:]))
