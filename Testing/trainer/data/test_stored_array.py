"""An array on disk gives the parts that are asked for, and says when its file is gone."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from MultiTaskSegLib.runtime.errors import ResourceError
from trainer.data.stored_array import StoredArray


@pytest.fixture
def plain() -> np.ndarray:
    return np.random.default_rng(1).random((5, 6, 7)).astype(np.float16)


@pytest.fixture
def stored(plain: np.ndarray, tmp_path: Path) -> StoredArray:
    save_file({"a": plain, "b": np.zeros(3)}, tmp_path / "x.safetensors")
    return StoredArray(tmp_path / "x.safetensors", "a", plain.shape)


@pytest.mark.parametrize("box", [np.s_[0:5, 0:6, 0:7], np.s_[1:3, 2:3, 4:7], np.s_[4:5, 0:6, 6:7]])
def test_a_part_is_that_of_the_whole(stored: StoredArray, plain: np.ndarray, box: tuple[slice, slice, slice]) -> None:
    part = stored[box]
    assert part.dtype == plain.dtype
    np.testing.assert_array_equal(part, plain[box])


def test_all_of_it_is_an_array_of_the_type_that_is_asked_for(stored: StoredArray, plain: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(stored), plain)
    assert np.asarray(stored, dtype=np.float32).dtype == np.float32
    np.testing.assert_array_equal(np.array(stored, dtype=np.float32), plain.astype(np.float32))


def test_a_worker_gets_the_name_of_the_file_and_not_the_voxels(stored: StoredArray, plain: np.ndarray) -> None:
    assert len(ForkingPickler.dumps(stored)) < plain.nbytes


def test_a_file_that_is_gone_or_cut_off_is_said(stored: StoredArray) -> None:
    stored.path.write_bytes(stored.path.read_bytes()[:-3])
    with pytest.raises(ResourceError, match="Go on with --resume"):
        np.asarray(stored)
    stored.path.unlink()
    with pytest.raises(ResourceError, match="Go on with --resume"):
        stored[0:1, 0:1, 0:1]
