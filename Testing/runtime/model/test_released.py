"""Where the released models are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model import released


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package without models."""
    folder = tmp_path / "module" / "MultiTaskSegLib"
    monkeypatch.setattr(released, "__file__", str(folder / "runtime" / "model" / "released.py"))
    return folder


def put(folder: Path, name: str) -> Path:
    path = folder / "Resources" / "Models" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("planar, name", [(False, "mr3d.mts.safetensors"), (True, "planar2d.mts.safetensors")])
def test_the_model_is_found_beside_the_package_and_inside_it(package: Path, planar: bool, name: str) -> None:
    inside = put(package, name)
    assert released.released_model(planar).resolve() == inside.resolve()
    beside = put(package.parent, name)
    assert released.released_model(planar).resolve() == beside.resolve()


def test_a_missing_model_is_refused_with_what_to_do(package: Path) -> None:
    put(package, "mr3d.mts.safetensors")
    with pytest.raises(ModelError, match=r"planar2d\.mts\.safetensors is not installed.*a model file of your own"):
        released.released_model(planar=True)
