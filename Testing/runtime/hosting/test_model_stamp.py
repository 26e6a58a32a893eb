"""A model file that was written anew under its old name is noticed, whatever its size and its time."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.hosting.model_stamp import model_stamp
from MultiTaskSegLib.runtime.model.model_file import reference_tensors, save_model
from Testing.runtime.tiny_model import (
    tiny_images,
    tiny_manifest,
    tiny_network,
    tiny_reference,
    write_tiny_model,
)

TIME_NS = 1_700_000_000_000_000_000


def written(path: Path, seed: int) -> Path:
    """The tiny model with weights of another seed, at the same time."""
    save_model(path, tiny_manifest(), tiny_network(seed), reference_tensors(tiny_images(), tiny_reference()))
    os.utime(path, ns=(TIME_NS, TIME_NS))
    return path


def test_other_weights_at_the_same_time_and_of_the_same_size_have_another_stamp(tmp_path: Path) -> None:
    path = tmp_path / "m.mts.safetensors"
    first = model_stamp(written(path, 1))
    assert first == model_stamp(path)
    second = model_stamp(written(path, 2))
    assert first is not None
    assert second is not None
    assert first != second
    assert first == replace(second, header_digest=first.header_digest), "size and time did not tell them apart"


def test_another_time_or_size_is_another_stamp(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.mts.safetensors")
    first = model_stamp(path)
    os.utime(path, ns=(TIME_NS, TIME_NS))
    touched = model_stamp(path)
    assert touched != first
    with path.open("ab") as stream:
        stream.write(b"\0")
    os.utime(path, ns=(TIME_NS, TIME_NS))
    assert model_stamp(path) != touched


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 20])
def test_what_is_no_model_has_a_stamp_too_and_what_is_not_there_has_none(content: bytes, tmp_path: Path) -> None:
    assert model_stamp(tmp_path / "absent") is None
    assert model_stamp(tmp_path) is None
    (tmp_path / "file").write_bytes(content)
    stamp = model_stamp(tmp_path / "file")
    assert stamp is not None
    assert stamp.size_bytes == len(content)
