"""Faults between two hosts: a machine of a cohort that is lost."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from Testing.bench.cohort.lost_host import KILLED, lost_host
from Testing.hosts.two_hosts import missing
from Testing.runtime.tiny_model import write_tiny_model


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_a_host_that_is_lost_in_the_middle_of_a_cohort_costs_no_case_and_none_is_done_twice(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    model = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    found = lost_host(tmp_path, model, KILLED, cases=60)
    assert (found["exit"], found["first"], found["again"]) == (0, 60, 0)
    assert [found[key] for key in ("lost", "doubled", "changed", "different")] == [0, 0, 0, 0]
    (told,) = found["told"]
    assert told.startswith("the worker ended in the middle of it")
