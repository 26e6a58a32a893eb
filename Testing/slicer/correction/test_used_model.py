"""A training goes on from the very model that made a result, however that was chosen."""

from __future__ import annotations

import json

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.correction.used_model import model_of, task_of
from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.file_header import header_digest
from MultiTaskSegLib.runtime.model.released import MODEL_3D, named_model
from Testing.runtime.model.header_file import manifest, task_entry, write_header_file

pytestmark = pytest.mark.usefixtures("session")
DIGEST = "0" * 64  # of files that `write_header_file` writes


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A model of the user's."""
    monkeypatch.setenv("MULTITASKSEG_MODELS", str(tmp_path / "models"))
    return write_header_file(tmp_path / "models/mine.mts.safetensors", manifest(task_entry("Tumour", modality="T2")))


def result(asked: str, digest: str = DIGEST):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    values = {"Parameters": json.dumps({"model": asked}), "Model": "named otherwise", "Task": "Tumour"}
    for key, value in ({**values, "Model.SHA256": digest} if digest else values).items():
        node.SetAttribute(f"MultiTaskSeg.{key}", value)
    return node


def test_the_image_may_have_decided_on_a_model_of_the_user_s(own):
    assert model_of(result("")) == own
    assert task_of(result("")).modality == "T2"


def test_the_image_may_have_decided_on_a_released_model(own):
    released = named_model(MODEL_3D)
    assert model_of(result("", header_digest(released))) == released


def test_a_model_that_was_moved_into_the_list_is_found_there(own, tmp_path):
    assert model_of(result(str(tmp_path / "gone.mts.safetensors"))) == own


def test_another_model_in_the_place_of_the_one_that_was_used_is_not_taken_for_it(own):
    for node in (result(str(own), "ab" * 32), result("", "ab" * 32)):
        with pytest.raises(ModelError, match="not there any more"):
            model_of(node)
        assert task_of(node) is None


def test_what_nobody_noted_is_told(own):
    with pytest.raises(ModelError, match="nobody noted"):
        model_of(result("", ""))
    assert model_of(result(str(own), "")) == own
