"""The worker draws a picture where it is asked for one, and a picture that fails fails no result."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.thumbnail import thumbnail_entry
from Testing.runtime.test_worker import real_result, request, served


@pytest.mark.parametrize("write", [False, True])
def test_a_request_for_a_picture_is_answered_with_one_besides_the_result(tmp_path, write):
    events, _ = served(real_result(), request(tmp_path, thumbnail=True, write=write))
    result = events[-1]
    picture = np.load(result["thumbnail"])
    assert (picture.dtype, picture.shape[2]) == (np.uint8, 3)
    if write:  # it is no result file
        assert "thumbnail.npy" not in {file.name for file in Path(result["files"]).iterdir()}


def test_without_a_request_no_picture_is_drawn(tmp_path):
    events, _ = served(real_result(), request(tmp_path))
    assert "thumbnail" not in json.dumps(events[-1])
    assert not (tmp_path / "out" / "thumbnail.npy").exists()


def test_a_picture_that_fails_leaves_the_result_and_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(thumbnail_entry, "thumbnail", lambda *_: 1 / 0)
    events, _ = served(real_result(), request(tmp_path, thumbnail=True))
    assert events[-1]["event"] == "result"
    assert Path(events[-1]["labels"]).is_file()
    assert "thumbnail" not in events[-1]
    assert events[-1]["thumbnail_failure"] == "ZeroDivisionError: division by zero"
    assert "ZeroDivisionError" in capsys.readouterr().err
