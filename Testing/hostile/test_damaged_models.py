"""A model file that is damaged, foreign or contradicts itself is refused with one line; nothing of it is used."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.model_file import load_model
from MultiTaskSegLib.runtime.model.structure import to_plain
from Testing.hostile.broken_image import flipped
from Testing.hostile.model_bytes import Change, poison, resealed, with_header
from Testing.hostile.mutation import mutants
from Testing.runtime.tiny_model import tiny_manifest, tiny_network, write_tiny_model

NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "good.mts.safetensors")


def zipped(data: bytes) -> bytes:
    from io import BytesIO

    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("model.bin", data)
    return stream.getvalue()


def header_size(data: bytes) -> int:
    return int(struct.unpack("<Q", data[:8])[0])


def payload_flipped(data: bytes) -> bytes:
    place = 8 + header_size(data) + 40
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def label_renamed(data: bytes) -> bytes:
    assert data.count(b"left ball") == 1
    return data.replace(b"left ball", b"LEFT BALL")


def no_metadata(header: dict[str, Any]) -> None:
    del header["__metadata__"]


def renamed_tensor(header: dict[str, Any]) -> None:
    header["network.other"] = header.pop("network.head.bias")


def overlapping(header: dict[str, Any]) -> None:
    header["network.head.bias"]["data_offsets"] = [0, 10]


BYTES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "not a MultiTaskSeg"),
    "seven bytes": (lambda data: data[:7], "not a MultiTaskSeg"),
    "cut in half": (lambda data: data[: len(data) // 2], "cannot be read"),
    "last byte missing": (lambda data: data[:-1], "cannot be read"),
    "one byte more": (lambda data: data + b"\0", "cannot be read"),
    "cut inside the header": (lambda data: data[:200], "cannot be read|not a MultiTaskSeg"),
    "flipped weight bit": (payload_flipped, "altered or damaged"),
    "flipped byte in the middle": (lambda data: flipped(data, 0.9), "altered|NaN|cannot be read"),
    "renamed label": (label_renamed, "altered or damaged"),
    "renamed zip": (zipped, "not a MultiTaskSeg"),
    "renamed text": (lambda _: b"This is a text file, not a model.\n" * 30, "not a MultiTaskSeg"),
    "renamed pickle": (lambda data: b"\x80\x04\x95" + data, "not a MultiTaskSeg"),
    "header of 2^63 bytes": (lambda data: struct.pack("<Q", 2**63) + data[8:], "not a MultiTaskSeg"),
    "header just above the limit": (
        lambda data: struct.pack("<Q", 1_000_001) + data[8 : 8 + header_size(data)].ljust(1_000_001)
        + data[8 + header_size(data) :], "not a MultiTaskSeg",
    ),
    "header length 0": (lambda data: struct.pack("<Q", 0) + data[8:], "cannot be read"),
    "header that is no JSON": (lambda data: data[:8] + b"x" * header_size(data) + data[-99:], "cannot be read"),
    "deeply nested header": (lambda _: struct.pack("<Q", 99_000) + b"[" * 99_000, "cannot be read"),
    "no metadata": (lambda data: with_header(data, no_metadata), "not a MultiTaskSeg"),
    "renamed tensor": (lambda data: with_header(data, renamed_tensor), "altered or damaged"),
    "overlapping tensors": (lambda data: with_header(data, overlapping), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", BYTES)
def test_a_damaged_file_is_refused_in_one_line(good: Path, tmp_path: Path, name: str) -> None:
    damage, says = BYTES[name]
    path = tmp_path / "bad.mts.safetensors"
    path.write_bytes(damage(good.read_bytes()))
    with pytest.raises(ModelError, match=says) as refusal:
        load_model(path)
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert refusal.value.remedy


def test_missing_models_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.mts.safetensors", tmp_path):
        with pytest.raises(ModelError, match="no such model file"):
            load_model(path)


def edit(**values: Any) -> Change:
    """Replace manifest keys, with dots for depth: ``ood__threshold``."""

    def change(manifest: dict[str, Any], _: dict[str, Tensor], __: dict[str, str]) -> None:
        for key, value in values.items():
            *path, last = key.split("__")
            place: Any = manifest
            for step in path:
                place = place[int(step) if step.isdigit() else step]
            place[last] = value

    return change


def remove(key: str) -> Change:
    return lambda manifest, _, __: manifest.pop(key)


def set_tensor(name: str, make: Callable[[Tensor], Tensor]) -> Change:
    def change(_: dict[str, Any], tensors: dict[str, Tensor], __: dict[str, str]) -> None:
        tensors[name] = make(tensors[name])

    return change


def drop_tensor(name: str) -> Change:
    def change(_: dict[str, Any], tensors: dict[str, Tensor], __: dict[str, str]) -> None:
        del tensors[name]

    return change


def add_metadata(_: dict[str, Any], __: dict[str, Tensor], extra: dict[str, str]) -> None:
    extra["code"] = "import os"


def extra_tensor(_: dict[str, Any], tensors: dict[str, Tensor], __: dict[str, str]) -> None:
    tensors["network.backdoor"] = torch.ones(3)


SEALED: dict[str, Change] = {
    "NaN weight": poison(NAN),
    "infinite weight": poison(INF),
    "older version": edit(format_version=0),
    "newer version": edit(format_version=3),
    "version as text": edit(format_version="1"),
    "no version": remove("format_version"),
    "no tasks": edit(tasks=[]),
    "no architecture": remove("architecture"),
    "unknown manifest key": edit(plugin="run_me"),
    "unknown key inside": edit(ood__secret=1),
    "text as threshold": edit(ood__threshold="high"),
    "true as threshold": edit(ood__threshold=True),
    "manifest is too deep": edit(training=json.loads("[" * 400 + "]" * 400)),
    "unknown signature": edit(ood__variant="other"),
    "unknown layer": edit(ood__layers=["encoder9"]),
    "no layer": edit(ood__layers=[]),
    "floor of 2": edit(ood__floor=2.0),
    "more outputs than weights": edit(architecture__outputs=6),
    "wider layers than weights": edit(architecture__channels=[8, 8]),
    "negative channels": edit(architecture__channels=[4, -6]),
    "stride of zero": edit(architecture__strides=[[0, 2, 2]]),
    "even kernel": edit(architecture__kernels=[[2, 3, 3], [3, 3, 3]]),
    "one level": edit(architecture__channels=[4]),
    "absurd channels": edit(architecture__channels=[10**9, 10**9]),
    "task beyond the head": edit(tasks__1__channel_start=4),
    "tasks share channels": edit(tasks__1__channel_start=2),
    "planar and volume tasks": edit(
        tasks__0__profile__grid="fit", tasks__0__profile__matrix=64, tasks__0__profile__spacing_zyx_mm=None
    ),
    "task before the head": edit(tasks__0__channel_start=-1),
    "label value 0": edit(tasks__0__labels__0__value=0),
    "label value 256": edit(tasks__0__labels__0__value=256),
    "label value twice": edit(tasks__0__labels__0__value=2),
    "colour beyond 255": edit(tasks__0__labels__0__colour=[300, 0, 0]),
    "task name twice": edit(tasks__0__name="Dataset002_Cubes"),
    "temperature of zero": edit(tasks__0__temperature=0.0),
    "negative temperature": edit(tasks__0__temperature=-1.0),
    "profile without spacing": edit(tasks__0__profile__spacing_zyx_mm=None),
    "profile of negative spacing": edit(tasks__0__profile__spacing_zyx_mm=[2.0, -2.0, 2.0]),
    "profile of zero spacing": edit(tasks__0__profile__spacing_zyx_mm=[2.0, 0.0, 2.0]),
    "percentile beyond 100": edit(tasks__0__profile__intensity__high=120.0),
    "negative threshold": edit(ood__threshold=-1.0),
    "unknown tensor": extra_tensor,
    "unknown tensor prefix": lambda manifest, tensors, extra: tensors.update(backdoor=torch.ones(3)),
    "further metadata": add_metadata,
    "missing weight": drop_tensor("network.head.bias"),
    "missing reference": drop_tensor("reference.tasks"),
    "missing spectra": drop_tensor("reference.encoder0.singular_values"),
    "weight of another shape": set_tensor("network.head.bias", lambda t: torch.cat((t, t))),
    "weights of whole numbers": set_tensor("network.head.bias", lambda t: t.to(torch.int64)),
    "reference task out of range": set_tensor("reference.tasks", lambda t: t + 1),
    "reference without one task": set_tensor("reference.tasks", torch.zeros_like),
    "reference tasks too few": set_tensor("reference.tasks", lambda t: t[3:]),
    "spectra of another width": set_tensor("reference.encoder0.singular_values", lambda t: t[:, :2]),
    "spectra without width": set_tensor("reference.encoder0.singular_values", lambda t: t[:, :0]),
    "spectra in one dimension": set_tensor("reference.encoder0.singular_values", lambda t: t[0]),
    "spectra in bfloat16": set_tensor("reference.encoder0.singular_values", lambda t: t.to(torch.bfloat16)),
    "NaN in spectra": set_tensor("reference.encoder0.singular_values", lambda t: t * NAN),
    "negative spectra": set_tensor("reference.encoder0.singular_values", lambda t: -t),
    "no voxels": set_tensor("reference.encoder0.voxels", torch.zeros_like),
    "negative voxels": set_tensor("reference.encoder0.voxels", lambda t: -t),
    "scales of zero": set_tensor("reference.encoder0.spectrum.scale", torch.zeros_like),
    "missing projection": drop_tensor("reference.encoder0.means.projection"),
    "projection of another width": set_tensor("reference.encoder0.spectrum.projection", lambda t: t[:, :2]),
    "NaN in a projection": set_tensor("reference.encoder0.spectrum.projection", lambda t: t * NAN),
    "missing shrinkage": drop_tensor("reference.encoder0.means.shrinkage"),
    "shrinkages too few": set_tensor("reference.encoder0.means.shrinkage", lambda t: t[:1]),
    "shrinkage above 1": set_tensor("reference.encoder0.means.shrinkage", lambda t: t + 1.1),
    "negative shrinkage": set_tensor("reference.encoder0.means.shrinkage", lambda t: t - 1.1),
    "missing texture": drop_tensor("reference.image.texture1.values"),
    "layout of another width": set_tensor("reference.image.layout.values", lambda t: t[:, :2]),
    "NaN in a texture": set_tensor("reference.image.texture0.values", lambda t: t * NAN),
    "projection of a layout of another width": set_tensor("reference.image.layout.projection", lambda t: t[:2]),
    "missing channel means": drop_tensor("reference.encoder0.channel_means"),
    "channel means of another width": set_tensor("reference.encoder0.channel_means", lambda t: t[:, :2]),
    "scales too few": set_tensor("reference.encoder0.spectrum.scale", lambda t: t[:1]),
    "no calibration scores": set_tensor("reference.calibration_scores", lambda t: t[:0]),
}  # fmt: skip


# Where several checks would refuse: which one must, because it knows best what is wrong.
SAYS = {
    "NaN weight": "NaN or infinite",
    "newer version": "format version 3, this program reads 1 and 2",
    "no tasks": "no task",
    "unknown manifest key": "plugin",
    "unknown layer": "layers that the network does not have",
    "absurd channels": "channels.* is 1000000000, not from 1 to 4096",
    "label value 256": r"tasks\[0\].labels\[0\].value is 256, not from 1 to 255",
    "manifest is too deep": "nested deeper than 32 levels",
    "task beyond the head": "outside the network's channels",
    "tasks share channels": "shares channels",
    "planar and volume tasks": "mixed",
    "unknown tensor prefix": "backdoor is unknown",
    "weights of whole numbers": "whole numbers",
    "spectra in bfloat16": "bfloat16",
    "reference task out of range": "lacks images of a task",
    "no calibration scores": "calibration scores",
    "no voxels": "voxel counts",
}


@pytest.mark.parametrize("name", SEALED)
def test_a_contradiction_is_refused_even_with_a_right_digest(good: Path, tmp_path: Path, name: str) -> None:
    path = resealed(good, tmp_path / "bad.mts.safetensors", SEALED[name])
    with pytest.raises(ModelError, match=SAYS.get(name, ".")) as refusal:
        load_model(path)
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_resealing_without_a_change_gives_a_good_model(good: Path, tmp_path: Path) -> None:
    path = resealed(good, tmp_path / "same.mts.safetensors", lambda manifest, tensors, extra: None)
    assert load_model(path).manifest == load_model(good).manifest


def test_an_unharmed_copy_is_accepted_with_its_weights(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.mts.safetensors"
    path.write_bytes(good.read_bytes())
    found = load_model(path)
    assert found.manifest == tiny_manifest()
    # Weights are stored in half precision.
    for name, weights in tiny_network().state_dict().items():
        torch.testing.assert_close(found.network.state_dict()[name], weights, rtol=5e-4, atol=0)


@pytest.mark.parametrize(
    "change",
    [edit(name="other"), edit(intended_use="Lékař"), edit(ood__threshold=7.5), edit(tasks__1__temperature=2.0)],
)
def test_another_value_that_contradicts_nothing_is_accepted(good: Path, tmp_path: Path, change: Change) -> None:
    path = resealed(good, tmp_path / "other.mts.safetensors", change)
    manifest: dict[str, Any] = to_plain(tiny_manifest())
    change(manifest, {}, {})
    assert json.loads(json.dumps(to_plain(load_model(path).manifest))) == json.loads(json.dumps(manifest))


def test_the_order_of_tensors_and_spaces_up_to_a_million_bytes_of_header_do_not_matter(
    good: Path, tmp_path: Path
) -> None:
    def turned(header: dict[str, Any]) -> None:
        for name in list(header)[::-1]:
            header[name] = header.pop(name)

    data = with_header(good.read_bytes(), turned)
    size = header_size(data)
    spaced = struct.pack("<Q", 1_000_000) + data[8 : 8 + size].ljust(1_000_000) + data[8 + size :]
    path = tmp_path / "turned.mts.safetensors"
    path.write_bytes(spaced)
    assert load_model(path).digest == load_model(good).digest


def test_a_change_without_a_new_digest_is_refused(good: Path, tmp_path: Path) -> None:
    path = resealed(good, tmp_path / "bad.mts.safetensors", edit(name="other"), seal=False)
    with pytest.raises(ModelError, match="digest"):
        load_model(path)


@pytest.mark.parametrize("seed", range(4))
def test_no_randomly_damaged_model_is_accepted(good: Path, tmp_path: Path, seed: int) -> None:
    data = good.read_bytes()
    path = tmp_path / "mutant.mts.safetensors"
    # Half of the damage goes into the header: the payload is a thousand times more monotonous.
    for damaged in mutants(data, 500, seed, within=8 + header_size(data) if seed % 2 else None):
        path.write_bytes(damaged)
        with pytest.raises(ModelError):
            load_model(path)
