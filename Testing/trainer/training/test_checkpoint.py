"""Checkpoints: read back to the bit, or refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError, ResourceError
from trainer.training.checkpoint import CHECKPOINT_VERSION, config_digest, load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


def test_a_state_comes_back_to_the_bit(tmp_path: Path) -> None:
    state = {"step": 7, "nested": {"weights": torch.randn(5, generator=torch.Generator().manual_seed(1))}}
    save_checkpoint(tmp_path / "c.pt", state, "digest")
    found = load_checkpoint(tmp_path / "c.pt", "digest", CPU)
    assert found["step"] == 7
    assert torch.equal(found["nested"]["weights"], state["nested"]["weights"])  # type: ignore[index]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", {}, config_digest({"seed": 1}))
    load_checkpoint(tmp_path / "c.pt", config_digest({"seed": 1}), CPU)
    with pytest.raises(ModelError, match="other data or settings"):
        load_checkpoint(tmp_path / "c.pt", config_digest({"seed": 2}), CPU)


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert config_digest({"a": 1, "b": (2, 3)}) == config_digest({"b": (2, 3), "a": 1})
    assert config_digest({"a": 1}) != config_digest({"a": 1.5})


class Malicious:
    """Unpickling this would call a function."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return sys.exit, ("code from a file was run",)


@pytest.mark.parametrize("content", [[1, 2], torch.ones(3), {"version": CHECKPOINT_VERSION + 1, "digest": "d"}, {}])
def test_something_else_than_a_checkpoint_of_this_version_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(ModelError, match="--resume"):
        load_checkpoint(tmp_path / "c.pt", "d", CPU)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"version": CHECKPOINT_VERSION, "digest": "d", "step": Malicious()}, tmp_path / "c.pt")
    with pytest.raises(ModelError, match="cannot be read"):
        load_checkpoint(tmp_path / "c.pt", "d", CPU)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.95])
def test_a_cut_off_checkpoint_is_refused(tmp_path: Path, keep: float) -> None:
    save_checkpoint(tmp_path / "c.pt", {"weights": torch.ones(100)}, "d")
    data = (tmp_path / "c.pt").read_bytes()
    (tmp_path / "c.pt").write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ModelError, match="cannot be read"):
        load_checkpoint(tmp_path / "c.pt", "d", CPU)


def test_a_checkpoint_that_cannot_be_written_whole_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "c.pt", {"step": 1}, "d")

    def full_disk(content: object, path: Path) -> None:
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(ResourceError, match="No space left"):
        save_checkpoint(tmp_path / "c.pt", {"step": 2}, "d")
    assert load_checkpoint(tmp_path / "c.pt", "d", CPU)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]
