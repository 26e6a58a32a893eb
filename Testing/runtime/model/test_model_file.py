"""A model file gives back what was put in, and its digest tells any change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.data_file import content_digest
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_consistency import check_manifest
from MultiTaskSegLib.runtime.model.model_file import (
    load_model,
    read_manifest,
    reference_tensors,
    rewrite_manifest,
    save_model,
)
from MultiTaskSegLib.runtime.model.structure import from_plain, to_plain
from Testing.runtime.tiny_model import (
    tiny_images,
    tiny_manifest,
    tiny_network,
    tiny_reference,
    write_tiny_model,
)


def tensors() -> dict[str, Tensor]:
    images = tiny_images()
    return reference_tensors(images, tiny_reference())


def saved(path: Path, manifest: Manifest | None = None) -> str:
    return save_model(path, manifest or tiny_manifest(), tiny_network(), tensors())


def test_manifest_weights_and_reference_come_back(tmp_path: Path) -> None:
    path = tmp_path / "tiny.mts.safetensors"
    digest = saved(path)
    model = load_model(path)
    assert model.manifest == tiny_manifest()
    assert model.digest == digest
    for name, weights in tiny_network().state_dict().items():
        torch.testing.assert_close(model.network.state_dict()[name], weights.half().float(), rtol=0, atol=0)
    expected = tiny_reference()
    np.testing.assert_allclose(model.reference.calibration_scores, expected.calibration_scores)
    for layer in expected.spec.blocks:
        np.testing.assert_allclose(model.reference.vectors[layer], expected.vectors[layer], rtol=0, atol=1e-6)
        np.testing.assert_allclose(model.reference.scales[layer], expected.scales[layer], rtol=1e-12)
        np.testing.assert_array_equal(model.reference.shrinkages[layer], expected.shrinkages[layer])
    known = tiny_images()[0].spectra
    np.testing.assert_allclose(
        model.reference.log_scores(model.reference.spec.vectors(known)),
        expected.log_scores(expected.spec.vectors(known)),
        atol=1e-4,
    )


def test_the_loaded_network_cannot_be_trained_by_accident(tmp_path: Path) -> None:
    network = load_model(write_tiny_model(tmp_path / "tiny.mts.safetensors")).network
    assert not network.training
    assert not any(weights.requires_grad for weights in network.parameters())


def test_saving_a_loaded_model_again_gives_the_same_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a.mts.safetensors", tmp_path / "b.mts.safetensors"
    saved(first)
    model = load_model(first)
    assert save_model(second, model.manifest, model.network, tensors()) == model.digest
    assert load_model(second).manifest == model.manifest


def test_the_manifest_alone_is_the_same_manifest(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    assert read_manifest(path) == (load_model(path).manifest, load_model(path).digest)


def test_the_digest_changes_with_any_tensor_its_name_type_or_shape() -> None:
    content = {"a": torch.arange(6.0), "b": torch.ones(2, 3)}
    digest = content_digest("text", content)
    others = [
        content_digest("text ", content),
        content_digest("text", {"a": content["a"]}),
        content_digest("text", {"a": content["b"].reshape(-1), "b": content["a"].reshape(2, 3)}),
        content_digest("text", {"a": content["a"], "c": content["b"]}),
        content_digest("text", {"a": content["a"], "b": content["b"].reshape(3, 2)}),
        content_digest("text", {"a": content["a"].view(torch.int32), "b": content["b"]}),
    ]
    for number in range(6):
        bits = content["a"].view(torch.int32).clone()
        bits[number] ^= 1
        others.append(content_digest("text", {"a": bits.view(torch.float32), "b": content["b"]}))
    assert len({digest, *others}) == 1 + len(others)


def test_the_digest_does_not_depend_on_order_or_memory_layout() -> None:
    b = torch.arange(6.0).reshape(2, 3)
    first = content_digest("t", {"a": torch.ones(1), "b": b})
    assert content_digest("t", {"b": b.T.contiguous().T, "a": torch.ones(1)}) == first


def test_the_digest_changes_with_any_field_of_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "tiny.mts.safetensors"
    manifest = tiny_manifest()
    changed = [
        replace(manifest, name="other"),
        replace(manifest, training={"steps": 3}),
        replace(manifest, ood=replace(manifest.ood, threshold=3.0000001)),
        replace(manifest, tasks=(replace(manifest.tasks[0], temperature=1.1), manifest.tasks[1])),
    ]
    assert len({saved(path, m) for m in [manifest, *changed]}) == 1 + len(changed)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_a_weight_that_does_not_fit_into_float16_is_refused_and_leaves_the_previous_file(
    tmp_path: Path, value: float
) -> None:
    path = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    before = path.read_bytes()
    network = tiny_network()
    with torch.no_grad():
        network.head.weight[0] = value
    with pytest.raises(ModelError, match=r"head\.weight"):
        save_model(path, tiny_manifest(), network, tensors())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_rewritten_manifest_keeps_every_tensor_and_gets_a_digest_of_its_own(tmp_path: Path) -> None:
    source, target = write_tiny_model(tmp_path / "a.mts.safetensors"), tmp_path / "b.mts.safetensors"
    before = load_model(source)
    digest = rewrite_manifest(source, replace(before.manifest, intended_use="another"), target)
    after = load_model(target)
    assert after.digest == digest != before.digest
    assert after.manifest == replace(before.manifest, intended_use="another")
    for one, other in zip(before.network.parameters(), after.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_manifest_that_does_not_fit_is_not_written(tmp_path: Path) -> None:
    source, target = write_tiny_model(tmp_path / "a.mts.safetensors"), tmp_path / "b.mts.safetensors"
    manifest = load_model(source).manifest
    with pytest.raises(ModelError, match="no task"):
        rewrite_manifest(source, replace(manifest, tasks=()), target)
    assert not target.exists()


@pytest.mark.parametrize("temperatures", [(0.0, None), (1.0, 0.0), (1.0, -2.0)])
def test_a_temperature_that_is_not_positive_is_refused(
    tmp_path: Path, temperatures: tuple[float, float | None]
) -> None:
    source = write_tiny_model(tmp_path / "a.mts.safetensors")
    manifest = load_model(source).manifest
    task = replace(manifest.tasks[0], temperature=temperatures[0], surface_temperature=temperatures[1])
    with pytest.raises(ModelError, match=r"temperature is -?[02], not from 0.01 to 100"):
        rewrite_manifest(source, replace(manifest, tasks=(task, *manifest.tasks[1:])), source)


def test_a_manifest_without_a_surface_temperature_is_read(tmp_path: Path) -> None:
    plain = to_plain(load_model(write_tiny_model(tmp_path / "a.mts.safetensors")).manifest)
    for task in plain["tasks"]:
        del task["surface_temperature"]
    assert [task.surface_temperature for task in from_plain(Manifest, plain).tasks] == [None, None]


def test_a_loaded_model_does_not_change_when_its_file_is_overwritten_in_place(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    model = load_model(path)
    size = path.stat().st_size
    with path.open("r+b") as stream:  # the same file, as `cp` does it, not a new one under the same name
        stream.write(b"\0" * size)
    expected = load_model(write_tiny_model(tmp_path / "again.mts.safetensors"))
    np.testing.assert_array_equal(model.reference.tasks, expected.reference.tasks)
    np.testing.assert_array_equal(model.reference.calibration_scores, expected.reference.calibration_scores)
    for block, scale in expected.reference.scales.items():
        np.testing.assert_array_equal(model.reference.scales[block], scale)
    for name, weights in expected.network.state_dict().items():
        torch.testing.assert_close(model.network.state_dict()[name], weights, rtol=0, atol=0)


def test_a_model_has_labels_for_all_tasks_or_for_none() -> None:
    manifest = tiny_manifest()
    none = tuple(replace(task, labels=()) for task in manifest.tasks)
    check_manifest(replace(manifest, tasks=none))
    assert not replace(manifest, tasks=none).has_labels
    assert manifest.has_labels
    with pytest.raises(ModelError, match="some tasks have labels and others none"):
        check_manifest(replace(manifest, tasks=(manifest.tasks[0], none[1])))


def test_a_file_that_does_not_name_its_statistics_is_read_with_the_first_ones(tmp_path: Path) -> None:
    plain = to_plain(tiny_manifest())
    del plain["ood"]["image_statistics"]
    older = from_plain(Manifest, plain, "manifest")
    kept = {name: tensor for name, tensor in tensors().items() if "shading" not in name}
    save_model(tmp_path / "older.mts.safetensors", older, tiny_network(), kept)
    blocks = load_model(tmp_path / "older.mts.safetensors").reference.spec.blocks
    assert [b for b in blocks if b.startswith("image")] == ["image.texture0", "image.texture1", "image.layout"]


def test_in_a_file_without_shrinkages_one_metric_serves_all_tasks(tmp_path: Path) -> None:
    kept = {name: tensor for name, tensor in tensors().items() if not name.endswith(".shrinkage")}
    save_model(tmp_path / "older.mts.safetensors", tiny_manifest(), tiny_network(), kept)
    reference = load_model(tmp_path / "older.mts.safetensors").reference
    signature = reference.spec.vectors(tiny_images()[0].spectra)
    logs = reference.log_scores_by_block(signature)
    for row, block in zip(logs, reference.spec.blocks, strict=True):
        differences = (reference.vectors[block] - signature[block]) @ reference.projections[block]
        distances = np.linalg.norm(differences, axis=1)
        nearest = np.array([distances[reference.tasks == task].min() for task in (0, 1)])
        np.testing.assert_allclose(row, np.log(nearest / reference.scales[block]), rtol=1e-9)
