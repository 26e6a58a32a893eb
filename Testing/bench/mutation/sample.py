"""Which mutants are tried: drawn from a seed, each room in proportion to the mutation points it has."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from Testing.bench.mutation.mutant import Mutant, Point, points

ROOMS = {
    "image": "MultiTaskSeg/MultiTaskSegLib/runtime/image",
    "ood": "MultiTaskSeg/MultiTaskSegLib/runtime/ood",
    "labels": "MultiTaskSeg/MultiTaskSegLib/runtime/labels",
    "model": "MultiTaskSeg/MultiTaskSegLib/runtime/model",
    "training": "trainer/training",
    "two_stage": "trainer/two_stage",
    "scene": "MultiTaskSeg/MultiTaskSegLib/scene",
}


def points_by_room(root: Path, rooms: Mapping[str, str]) -> dict[str, list[Point]]:
    """Every mutation point of every room, in the order of files and text."""
    return {
        room: [
            point
            for path in sorted((root / folder).glob("*.py"))
            for point in points(path.relative_to(root).as_posix(), path.read_bytes())
        ]
        for room, folder in rooms.items()
    }


def sample(by_room: Mapping[str, Sequence[Point]], count: int, seed: int) -> list[tuple[str, Mutant]]:
    """Draw mutants with their rooms: points without replacement, then one alternative of each.

    A room's draw does not depend on the other rooms, only on its own points and how many are asked of it.
    """
    drawn = []
    for room, number in shares({room: len(found) for room, found in by_room.items()}, count).items():
        chance = random.Random(f"{seed}/{room}")
        drawn += [(room, chance.choice(point)) for point in chance.sample(list(by_room[room]), number)]
    return drawn


def shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Split a count in proportion to sizes, by largest remainders.

    >>> shares({"a": 50, "b": 30, "c": 20}, 7)
    {'a': 4, 'b': 2, 'c': 1}
    """
    total = sum(sizes.values())
    count = min(count, total)
    exact = {name: count * size / total for name, size in sizes.items()} if total else dict.fromkeys(sizes, 0.0)
    found = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(sizes, key=lambda name: exact[name] - found[name], reverse=True)
    for name in by_remainder[: count - sum(found.values())]:
        found[name] += 1
    return found
