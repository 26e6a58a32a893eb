"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from Testing.skip_report import pytest_sessionfinish, pytest_terminal_summary

__all__ = ["pytest_sessionfinish", "pytest_terminal_summary"]

# Networks in tests are tiny: on a busy machine several threads wait for each other a hundred times longer than they
# compute. Set before any test imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Results to the bit need the same back end everywhere; the fastest one is measured on each machine.
os.environ.setdefault("MULTITASKSEG_BACKEND", "torch")
# So do trainings, which would choose their precision by a timed trial where the processor has 16 bits.
os.environ.setdefault("MULTITASKSEG_TRAINED_IN", "float32")
# With it also the C library holds nothing back, which hides what is lost for most who have not set it.
os.environ.pop("PYTHONUNBUFFERED", None)

REPOSITORY = Path(__file__).resolve().parent.parent
# Where no model is named, those of whoever runs the tests would take part.
os.environ["MULTITASKSEG_MODELS"] = str(REPOSITORY / "Testing" / "no_models")


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real datasets (``Dataset101_HippocampusT1`` ...), which are not part of the repository.

    Taken from the environment variable MULTITASKSEG_DATA, else ``../shared/data`` beside the checkout; the test is
    skipped where neither exists. Read only.
    """
    named = os.environ.get("MULTITASKSEG_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set MULTITASKSEG_DATA to their folder")
    return folder


@pytest.fixture
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoder maps that wait for their decoder are not rounded to half precision."""
    monkeypatch.setattr("MultiTaskSegLib.runtime.network.stage_stream.compact_dtype", lambda slab: slab.dtype)
