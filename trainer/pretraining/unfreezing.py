"""Which parts of a network are held still while it is trained on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal, get_args

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.network.architecture import Architecture

Strategy = Literal["all", "frozen-encoder", "last-layers", "gradual"]

# Share of the run after which gradual unfreezing has reached the first layer.
GRADUAL_SHARE = 0.5


def frozen_parts(
    strategy: Strategy, architecture: Architecture, fresh_stems: Collection[int] = ()
) -> Callable[[float], tuple[str, ...]] | None:
    """Prefixes of the names of frozen parameters by the share of the run that is over; None: nothing is ever frozen.

    Args:
        strategy: which parts.
        architecture: of the network.
        fresh_stems: numbers of the stems that begin with random weights, which are never frozen: nothing would be
            learnt of images that come in through chance.

    Raises:
        UsageError: there is no such strategy.
    """
    if strategy not in get_args(Strategy):
        raise UsageError(f"there is no strategy {strategy!r}", remedy=f"Use one of {', '.join(get_args(Strategy))}")
    if strategy == "all":
        return None
    levels = len(architecture.channels)
    fresh = tuple(prefix for stem in fresh_stems for prefix in stem_parts(stem))
    if strategy == "frozen-encoder":
        # What a part is, level by level: the decoder's come before the encoder's.
        encoder = [_without(part, fresh) for part in parts_from_head(architecture)[levels - 1 :]]
        return lambda progress: sum(encoder, ())
    parts = [_without(part, fresh) for part in parts_from_head(architecture)]
    if strategy == "last-layers":
        return lambda progress: sum(parts[1:], ())
    return lambda progress: sum(parts[1 + int(progress / GRADUAL_SHARE * len(parts)) :], ())


def stem_parts(stem: int) -> tuple[str, str]:
    """Prefixes of the names of a stem's weights: those of the first one belong to the finest stage of the encoder."""
    owner = f"stems.{stem - 1}" if stem else "encoder.0"
    return f"{owner}.first.", f"{owner}.shortcut."


def _without(part: tuple[str, ...], fresh: tuple[str, ...]) -> tuple[str, ...]:
    """Prefixes of a part of the network without those of its fresh stems."""
    own = set(stem_parts(0))
    whole = "encoder.0."
    if whole in part and own & set(fresh):
        part = (*(prefix for prefix in part if prefix != whole), f"{whole}second.")
    return tuple(prefix for prefix in part if not any(name.startswith(prefix) for name in fresh))


def parts_from_head(architecture: Architecture) -> list[tuple[str, ...]]:
    """Parts of the network from the head to the first layer, as prefixes of parameter names.

    The head and the finest decoder stage are one part: a 1x1x1 convolution alone can learn next to nothing.
    """
    levels = len(architecture.channels)
    decoder = [(f"decoder.{i}.", f"up.{i}.") for i in range(levels - 1)]
    encoder: list[tuple[str, ...]] = [(f"encoder.{i}.", f"down.{i - 1}.") for i in reversed(range(1, levels))]
    encoder.append(("encoder.0.", *(f"stems.{n}." for n in range(len(architecture.stems) - 1))))
    return [("head.", *decoder[0]), *decoder[1:], *encoder]
