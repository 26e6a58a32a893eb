"""A model file of an imported model that is damaged or contradicts itself is refused with one line, before it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from Testing.hostile.model_bytes import Change, poison, resealed
from Testing.hostile.mutation import mutants
from Testing.runtime.imported.imported_models import imported


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported(tmp_path_factory.mktemp("model"))


CHECK = {
    "variant": "composite", "layers": ["encoder0"], "floor": 1e-4, "threshold": 2.0, "false_alarm_rate": 0.0,
    "false_alarm_rate_by_task": {}, "image_statistics": ["texture"],
}  # fmt: skip


def setting(place: str, value: Any) -> Change:
    """A change of one value of the manifest."""

    def change(manifest: dict[str, Any], _: dict[str, Tensor], __: dict[str, str]) -> None:
        *parents, last = [int(word) if word.isdigit() else word for word in place.split(".")]
        table: Any = manifest
        for word in parents:
            table = table[word]
        table[last] = value

    return change


def dropped(_: dict[str, Any], tensors: dict[str, Tensor], __: dict[str, str]) -> None:
    del tensors["network.0.decoder.seg_layer.bias"]


def added(_: dict[str, Any], tensors: dict[str, Tensor], __: dict[str, str]) -> None:
    tensors["network.1.decoder.seg_layer.bias"] = torch.zeros(3)


def foreign(_: dict[str, Any], tensors: dict[str, Tensor], __: dict[str, str]) -> None:
    tensors["code"] = torch.zeros(3)


def halved(_: dict[str, Any], tensors: dict[str, Tensor], __: dict[str, str]) -> None:
    tensors["network.0.decoder.seg_layer.bias"] = torch.zeros(3, dtype=torch.float16)


def larger(_: dict[str, Any], tensors: dict[str, Tensor], __: dict[str, str]) -> None:
    tensors["network.0.decoder.seg_layer.bias"] = torch.zeros(4)


CHANGES = {
    "an unknown key": setting("command", "rm"),
    "an unknown key inside": setting("plan.network.module", "os"),
    "another kind": setting("kind", "monai"),
    "another version": setting("format_version", 3),
    "no licence": setting("licence", " "),
    "no fold": setting("origin.folds", []),
    "a fold twice": setting("origin.folds", [{"name": "0", "checkpoint": "a", "epochs": 1}] * 2),
    "an axis that a patch lacks": setting("origin.mirror_axes", [3]),
    "an axis twice": setting("origin.mirror_axes", [0, 0]),
    "a patch of terabytes": setting("plan.preparation.patch", [4096, 4096, 4096]),
    "a patch beyond bounds": setting("plan.preparation.patch", [16, 16, 2**40]),
    "a patch that is no multiple": setting("plan.preparation.patch", [16, 16, 15]),
    "a spacing of nothing": setting("plan.preparation.spacing_mm", [1.0, 1.0, 0.0]),
    "an order beyond splines": setting("plan.preparation.images.order", 9),
    "scores by cubic splines": setting("plan.preparation.scores.order", 3),
    "another normalisation": setting("plan.preparation.normalisations.0.scheme", "eval"),
    "limits the wrong way round": setting("plan.preparation.normalisations.0.low", 1.0),
    "another reader": setting("plan.preparation.reader", "os.system"),
    "another resampling": setting("plan.preparation.images.kind", "exec"),
    "an axis used twice": setting("plan.preparation.transpose", [0, 0, 1]),
    "another network": setting("plan.network.kind", "transformer"),
    "features without end": setting("plan.network.features", [4, 8, 10**9]),
    "lists of different lengths": setting("plan.network.blocks", [1, 1]),
    "an even kernel": setting("plan.network.kernels", [[1, 3, 3], [3, 3, 3], [2, 3, 3]]),
    "mixed dimensions": setting("plan.network.kernels", [[1, 3, 3], [3, 3, 3], [3, 3]]),
    "stages without end": setting("plan.network.features", [1] * 50),
    "a label beyond bounds": setting("tasks.0.labels.0.value", 256),
    "labels of another network": setting("tasks.0.labels.0.value", 7),
    "no label": setting("tasks.0.labels", []),
    "other channels": setting("tasks.0.inputs", ["T2"]),
    "regions that are none": setting("tasks.0.are_regions", True),
    "a head somewhere else": setting("tasks.0.channel_start", 3),
    "no task": setting("tasks", []),
    "a temperature of nothing": setting("tasks.0.temperature", 0.0),
    "a name with a line break's control characters": setting("name", "a\x1b[2J"),
    "no number": setting("plan.network.slope", "steep"),
    "a weight that is missing": dropped,
    "a weight too many": added,
    "a tensor that is no weight": foreign,
    "a weight of another precision": halved,
    "a weight of another shape": larger,
    "a weight that is not a number": poison(float("nan")),
    "a check without a reference": setting("ood", CHECK),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_file_that_contradicts_itself_is_refused_although_its_digest_fits(
    tmp_path: Path, good: Path, change: Change
) -> None:
    with pytest.raises(ModelError) as refused:
        load_imported(resealed(good, tmp_path / "bad.mts.safetensors", change))
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_check_of_maps_that_are_never_looked_at_is_refused(tmp_path: Path, good: Path) -> None:
    change = setting("ood", {**CHECK, "layers": ["decoder0"]})
    with pytest.raises(ModelError, match="layers of the decoder"):
        load_imported(resealed(good, tmp_path / "bad.mts.safetensors", change))


def test_what_a_file_says_cannot_move_the_cursor_of_a_terminal(tmp_path: Path, good: Path) -> None:
    for place in ("kind", "format_version"):
        with pytest.raises(ModelError) as refused:
            load_imported(resealed(good, tmp_path / "bad.mts.safetensors", setting(place, "\x1b[2J" * 1000)))
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 500


def test_a_file_that_was_altered_does_not_have_its_digest(tmp_path: Path, good: Path) -> None:
    changed = resealed(good, tmp_path / "bad.mts.safetensors", setting("licence", "CC0"), seal=False)
    with pytest.raises(ModelError, match="digest"):
        load_imported(changed)


def test_no_flipped_or_missing_bytes_get_through(tmp_path: Path, good: Path) -> None:
    path, whole = tmp_path / "bad.mts.safetensors", good.read_bytes()
    for data in mutants(whole, 40, seed=0):
        path.write_bytes(data)
        with pytest.raises(ModelError):
            load_imported(path)
