"""Fixtures of the tests that need Slicer's MRML classes; the tests are skipped where they are not installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def session() -> Iterator[object]:
    """A fresh scene for each test, because clearing one keeps its singleton nodes."""
    pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
    from Testing.slicer.mrml_session import MrmlSession

    opened = MrmlSession()
    yield opened
    opened.close()
