"""Which parts of a network are held still while it is trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.network.architecture import Architecture

Strategy = Literal["all", "frozen-encoder", "last-layers", "gradual"]

# Share of the run after which gradual unfreezing has reached the first layer.
GRADUAL_SHARE = 0.5


def frozen_parts(strategy: Strategy, architecture: Architecture) -> Callable[[float], tuple[str, ...]] | None:
    """Prefixes of the names of frozen parameters by the share of the run that is over; None: nothing is ever frozen.

    Raises:
        UsageError: there is no such strategy.
    """
    if strategy not in get_args(Strategy):
        raise UsageError(f"there is no strategy {strategy!r}", remedy=f"Use one of {', '.join(get_args(Strategy))}")
    if strategy == "all":
        return None
    if strategy == "frozen-encoder":
        return lambda progress: ("encoder.", "down.")
    parts = parts_from_head(architecture)
    if strategy == "last-layers":
        return lambda progress: sum(parts[1:], ())
    return lambda progress: sum(parts[1 + int(progress / GRADUAL_SHARE * len(parts)) :], ())


def parts_from_head(architecture: Architecture) -> list[tuple[str, ...]]:
    """Parts of the network from the head to the first layer, as prefixes of parameter names.

    The head and the finest decoder stage are one part: a 1x1x1 convolution alone can learn next to nothing.
    """
    levels = len(architecture.channels)
    decoder = [(f"decoder.{i}.", f"up.{i}.") for i in range(levels - 1)]
    encoder = [(f"encoder.{i}.", *([f"down.{i - 1}."] if i else [])) for i in reversed(range(levels))]
    return [("head.", *decoder[0]), *decoder[1:], *encoder]
