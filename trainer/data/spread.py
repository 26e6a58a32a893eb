"""A few of many, spread over all of them or over the patients."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most ``count`` items, evenly spaced."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round()
    return [items[int(index)] for index in chosen]


def spread_over_groups(items: Sequence[Item], groups: Sequence[Hashable], count: int) -> list[Item]:
    """At most ``count`` items in their order; no group has two before every group has one, and so on.

    Groups that get one more than others, and the items of a group, are evenly spaced, those at the ends left out first:
    the first slice of a volume shows less than the middle one.

    Args:
        items: for example cases.
        groups: patient of each.
        count: how many are wanted.
    """
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    quotas = dict.fromkeys(members, 0)
    left = min(count, len(items))
    while left > 0:
        open_groups = [group for group, own in members.items() if quotas[group] < len(own)]
        for group in _evenly_inside(open_groups, left):
            quotas[group] += 1
            left -= 1
    chosen = sorted(index for group, own in members.items() for index in _evenly_inside(own, quotas[group]))
    return [items[index] for index in chosen]


def _evenly_inside(items: Sequence[Item], count: int) -> list[Item]:
    """At most ``count`` items in the middle of as many equal parts."""
    size = min(count, len(items))
    return [items[(2 * part + 1) * len(items) // (2 * size)] for part in range(size)]
