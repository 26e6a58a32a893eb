"""Which convolutions of a network are computed in 8 bits: a ladder from all of them to few."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod

from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from MultiTaskSegLib.runtime.network.backend import TorchBackend

HEAD = "head"


@dataclass(frozen=True)
class Rung:
    """A step of the ladder.

    Attributes:
        name: for the table.
        kept: how the names of those parts begin that stay in floating point.
    """

    name: str
    kept: tuple[str, ...]

    def parts(self, names: Collection[str]) -> list[str]:
        """Of all parts those in 8 bits."""
        return [name for name in names if not name.startswith(self.kept)]


def ladder(layers: Collection[str]) -> tuple[Rung, ...]:
    """All steps, the cheapest first.

    Args:
        layers: whose spectra the verdict is drawn from (`SignatureSpec.layers`).

    >>> [rung.parts(["encoder0.first", "encoder0.second", "down0", "decoder0.first", "head"])
    ...  for rung in ladder(["encoder0", "encoder1"])][1:4]
    [['encoder0.second', 'down0', 'decoder0.first'], ['down0', 'decoder0.first'], ['decoder0.first']]
    """
    finest = ("encoder0.", "stem", HEAD)
    last = max(int(name[-1]) for name in layers if name.startswith("encoder"))
    seen = tuple(f"encoder{level}." for level in range(last + 1)) + tuple(f"down{level}" for level in range(last))
    return (
        Rung("every layer", ()),
        Rung("first and last layers kept", ("encoder0.first", "encoder0.shortcut", "stem", HEAD)),
        Rung("encoder0 and head kept", finest),
        Rung("what the verdict needs, and head kept", (*finest, *seen)),
        Rung("the same, and decoder0 kept", (*finest, *seen, "decoder0.")),
    )


def products(network: SegmentationNetwork, plain: TorchBackend, channels: slice) -> dict[str, float]:
    """Multiplications of each part per voxel of the image, for one task and images of the first stem.

    Args:
        network: whose.
        plain: its weights.
        channels: of the head.
    """
    architecture = network.architecture
    each = [1 / prod(stride) for stride in architecture.level_strides]
    found: dict[str, float] = {}
    for stage, weights in plain.stages.items():
        if stage.startswith("stem"):
            continue  # an image goes through one stem
        for kind in ("first", "second", "shortcut"):
            found[f"{stage}.{kind}"] = getattr(weights, kind).weight.numel() * each[int(stage[-1])]
    for level, (down, up) in enumerate(zip(plain.down_steps, plain.up_steps, strict=True)):
        found[f"down{level}"] = down.weight.numel() * each[level + 1]
        found[f"up{level}"] = up.weight.numel() * each[level + 1]
    found[HEAD] = float(architecture.channels[0] * (channels.stop - channels.start))
    return found


def share(rung: Rung, counts: Mapping[str, float]) -> float:
    """Of all multiplications those in 8 bits."""
    return sum(counts[name] for name in rung.parts(counts)) / sum(counts.values())


def part_names(architecture: Architecture, stages: Collection[str]) -> list[str]:
    """Names of all parts of a back end, the head's as one."""
    steps = range(len(architecture.channels) - 1)
    of_stages = [f"{stage}.{kind}" for stage in stages for kind in ("first", "second", "shortcut")]
    return [*of_stages, *(f"{way}{level}" for way in ("down", "up") for level in steps), HEAD]
