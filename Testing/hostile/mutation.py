"""Random damage to good files, reproducible by seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

TYPICAL_BYTES = b'\x00\xff 0-e\n}"'


def mutants(good: bytes, count: int, seed: int, within: int | None = None) -> Iterator[bytes]:
    """`count` damaged copies: bits flipped, bytes replaced, removed, inserted, ends cut off.

    Args:
        good: what to damage.
        count: number of copies.
        seed: of the generator.
        within: damage only the first bytes, where headers are; default everywhere.
    """
    generator = random.Random(seed)
    made = 0
    while made < count:
        damaged = bytearray(good)
        for _ in range(generator.choice((1, 1, 1, 2, 5))):
            _damage(damaged, generator, within or len(good))
        if damaged != good:
            made += 1
            yield bytes(damaged)


def _damage(data: bytearray, generator: random.Random, within: int) -> None:
    if not data:
        return
    place = generator.randrange(min(within, len(data)))
    kind = generator.random()
    if kind < 0.5:
        data[place] ^= 1 << generator.randrange(8)
    elif kind < 0.75:
        data[place] = generator.choice(TYPICAL_BYTES)
    elif kind < 0.85:
        del data[place : place + generator.randrange(1, 9)]
    elif kind < 0.95:
        data[place:place] = generator.randbytes(generator.randrange(1, 9))
    else:
        del data[place:]
