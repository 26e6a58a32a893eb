"""Oracle: what is stored of further looks is what they found, not what was short on the day."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import write_tiny_model
from trainer.failure.repeat import FurtherLooks


def scan(spacing_mm: float = 2.0) -> Volume:
    voxels = np.random.default_rng(0).normal(size=(12, 14, 16)).astype(np.float32)
    return Volume(voxels, np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0]), "scan")


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return Predictor.load(write_tiny_model(tmp_path / "tiny.mts.safetensors"), "cpu")


@pytest.mark.parametrize("looks_before", [0, 1])
def test_memory_that_runs_out_in_a_later_look_is_told_and_no_agreement(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, looks_before: int
) -> None:
    task, segment, calls = predictor.manifest.tasks[0], predictor.segment, []

    def short(*arguments, **named):
        calls.append(arguments)
        if len(calls) > 1 + looks_before:
            raise ResourceError("memory ran out")
        return segment(*arguments, **named)

    assert 0 <= FurtherLooks(predictor).agreement(scan(), task) <= 1
    monkeypatch.setattr(predictor, "segment", short)
    with pytest.raises(ResourceError, match="memory ran out"):
        FurtherLooks(predictor).agreement(scan(), task)


def test_an_image_that_no_look_sees_otherwise_is_refused(predictor: Predictor) -> None:
    with pytest.raises(InputError, match="the very same image"):
        FurtherLooks(predictor).agreement(scan(6.0), predictor.manifest.tasks[0])


@pytest.mark.parametrize(
    "constant, other", [("SIZES", ()), ("CONTRASTS", ()), ("PROPORTIONS", {}), ("PERCENTILES", (5.0, 95.0))]
)
def test_what_was_looked_at_in_another_way_is_not_taken_for_the_same(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, constant: str, other: object
) -> None:
    as_shipped = dict(FurtherLooks(predictor).settings)
    assert dict(FurtherLooks(predictor).settings) == as_shipped
    monkeypatch.setattr(f"trainer.failure.repeat.{constant}", other)
    assert dict(FurtherLooks(predictor).settings) != as_shipped
