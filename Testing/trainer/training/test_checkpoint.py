"""Checkpoints: read back to the bit, or refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError, ResourceError
from trainer.identity.fingerprint import canonical_text
from trainer.training.checkpoint import CHECKPOINT_VERSION, load_checkpoint, save_checkpoint

CPU = torch.device("cpu")
IDENTITY = {"tasks": [], "settings": {"seed": 1}, "cases": {}}


def test_a_state_comes_back_to_the_bit(tmp_path: Path) -> None:
    state = {"step": 7, "nested": {"weights": torch.randn(5, generator=torch.Generator().manual_seed(1))}}
    save_checkpoint(tmp_path / "c.pt", state, IDENTITY)
    found = load_checkpoint(tmp_path / "c.pt", IDENTITY, CPU)
    assert found["step"] == 7
    assert torch.equal(found["nested"]["weights"], state["nested"]["weights"])  # type: ignore[index]


def test_a_checkpoint_of_other_settings_is_refused_with_what_differs_and_what_to_do(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", {}, IDENTITY)
    other = IDENTITY | {"settings": {"seed": 2}}
    with pytest.raises(ModelError, match=r"settings: seed was 1 and is 2: .*c\.pt\. Use the same --config"):
        load_checkpoint(tmp_path / "c.pt", other, CPU)


class Malicious:
    """Unpickling this would call a function."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return sys.exit, ("code from a file was run",)


HEAD = {"version": CHECKPOINT_VERSION, "identity": canonical_text(IDENTITY)}


@pytest.mark.parametrize(
    "content",
    [[1, 2], torch.ones(3), HEAD | {"version": CHECKPOINT_VERSION + 1}, {"version": 1, "digest": "d"}, {}],
)
def test_something_else_than_a_checkpoint_of_this_version_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(ModelError, match="--resume"):
        load_checkpoint(tmp_path / "c.pt", IDENTITY, CPU)


@pytest.mark.parametrize("identity", [None, 3, "{", "3", "[]", "{}", '{"tasks": 3}', "[" * 100_000])
def test_a_checkpoint_that_does_not_say_of_which_run_it_is_is_refused(tmp_path: Path, identity: object) -> None:
    torch.save(HEAD | {"identity": identity}, tmp_path / "c.pt")
    with pytest.raises(ModelError, match=r"of which run it is.*--resume"):
        load_checkpoint(tmp_path / "c.pt", IDENTITY, CPU)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save(HEAD | {"step": Malicious()}, tmp_path / "c.pt")
    with pytest.raises(ModelError, match="cannot be read"):
        load_checkpoint(tmp_path / "c.pt", IDENTITY, CPU)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.95])
def test_a_cut_off_checkpoint_is_refused(tmp_path: Path, keep: float) -> None:
    save_checkpoint(tmp_path / "c.pt", {"weights": torch.ones(100)}, IDENTITY)
    data = (tmp_path / "c.pt").read_bytes()
    (tmp_path / "c.pt").write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ModelError, match="cannot be read"):
        load_checkpoint(tmp_path / "c.pt", IDENTITY, CPU)


def test_a_checkpoint_that_cannot_be_written_whole_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "c.pt", {"step": 1}, IDENTITY)

    def full_disk(content: object, path: Path) -> None:
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(ResourceError, match="No space left"):
        save_checkpoint(tmp_path / "c.pt", {"step": 2}, IDENTITY)
    assert load_checkpoint(tmp_path / "c.pt", IDENTITY, CPU)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit files")
@pytest.mark.parametrize("fits", [0, 200])
def test_a_disk_that_fills_up_while_torch_writes_is_said_in_words(tmp_path: Path, fits: int) -> None:
    import resource

    save_checkpoint(tmp_path / "c.pt", {"step": 1, "weights": torch.ones(5000)}, IDENTITY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (fits, hard))
    try:
        with pytest.raises(ResourceError, match=r"earlier one stays: .*c\.pt\. Free disk space|cannot write"):
            save_checkpoint(tmp_path / "c.pt", {"step": 2, "weights": torch.ones(5000)}, IDENTITY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load_checkpoint(tmp_path / "c.pt", IDENTITY, CPU)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]
