"""The three answers, their order, and that nothing but estimate and bound decides."""

from __future__ import annotations

import itertools

import pytest

from MultiTaskSegLib.runtime.quality.usability import (
    ASSUMED_MARGIN,
    DO_NOT_USE,
    ENOUGH,
    GOOD,
    LOOK_HERE,
    TOO_LITTLE,
    USABILITIES,
    usability,
)


@pytest.mark.parametrize(
    ("estimates", "margin", "answer"),
    [
        ([ENOUGH + 0.05], 0.05, GOOD),
        ([ENOUGH + 0.05], 0.06, LOOK_HERE),
        ([ENOUGH + ASSUMED_MARGIN + 0.001], None, GOOD),
        ([ENOUGH + ASSUMED_MARGIN - 0.001], None, LOOK_HERE),
        ([TOO_LITTLE], 0.0, LOOK_HERE),
        ([TOO_LITTLE - 0.001], 0.0, DO_NOT_USE),
        ([1.0, ENOUGH - 0.1], 0.01, GOOD),
        ([1.0, None], 0.0, LOOK_HERE),
        ([None, None], 0.0, DO_NOT_USE),
        ([], None, DO_NOT_USE),
    ],
)  # fmt: skip
def test_the_answer_follows_from_the_mean_estimate_and_its_margin(
    estimates: list[float | None], margin: float | None, answer: str
) -> None:
    assert usability(estimates, margin) == answer


def test_a_better_estimate_or_a_smaller_margin_never_gives_a_worse_answer() -> None:
    steps = [number / 20 for number in range(21)]
    for (low, high), margin in itertools.product(itertools.pairwise(steps), (0.0, 0.1, 0.4, None)):
        assert USABILITIES.index(usability([high], margin)) <= USABILITIES.index(usability([low], margin))
        assert USABILITIES.index(usability([low], 0.0)) <= USABILITIES.index(usability([low], margin))
