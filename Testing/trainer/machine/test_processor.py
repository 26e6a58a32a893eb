"""Cores that the process was not given are not counted."""

from __future__ import annotations

import os

import pytest

from trainer.machine.processor import usable_cores


def test_cores_that_may_be_used_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 9, 11}, raising=False)
    assert usable_cores() == 3


@pytest.mark.parametrize("count, expected", [(6, 6), (None, 1)])
def test_where_the_system_does_not_tell_all_count(
    monkeypatch: pytest.MonkeyPatch, count: int | None, expected: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cores() == expected
