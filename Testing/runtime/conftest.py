"""What tests of the runtime may ask for."""

from __future__ import annotations

import pytest

from MultiTaskSegLib.runtime import stage_stream


@pytest.fixture
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoder maps that wait for their decoder are not rounded to half precision."""
    monkeypatch.setattr(stage_stream, "compact_dtype", lambda slab: slab.dtype)
