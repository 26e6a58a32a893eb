"""Checkpoints are read as data: what nnU-Net saves comes back to the bit, and nothing else is let in."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.nnunet.checkpoint import Checkpoint, read_checkpoint
from Testing.runtime.nnunet.checkpoint_bytes import (
    DATASET,
    PLANS,
    checkpoint_content,
    nnunet_weights,
    saved_checkpoint,
    zipped,
)


def read(content: bytes) -> Checkpoint:
    return read_checkpoint(io.BytesIO(content), "checkpoint_final.pth")


def test_weights_come_back_to_the_bit_with_what_the_trainer_noted() -> None:
    found = read(saved_checkpoint(checkpoint_content()))
    wanted = nnunet_weights()
    assert found.weights.keys() == wanted.keys()
    assert all(torch.equal(found.weights[key], wanted[key]) for key in wanted)
    assert (found.trainer, found.configuration, found.fold, found.epochs) == ("nnUNetTrainer", "3d_fullres", 0, 7)
    assert found.mirror_axes == (0, 1, 2)
    assert (found.plans, found.dataset) == (PLANS, DATASET)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.uint8])
def test_tensors_of_every_kind_keep_their_values(dtype: torch.dtype) -> None:
    tensor = torch.arange(24).reshape(2, 3, 4).to(dtype)
    found = read(saved_checkpoint(checkpoint_content({"a": tensor}))).weights["a"]
    assert found.dtype == dtype
    assert torch.equal(found, tensor)


def test_views_of_one_storage_are_told_apart() -> None:
    whole = torch.arange(60.0).reshape(3, 4, 5)
    parts = {
        "row": whole[1],
        "column": whole[:, 2],
        "turned": whole.permute(2, 0, 1),
        "none": whole[:0],
        "one": whole[1, 2, 3],
    }
    found = read(saved_checkpoint(checkpoint_content(parts))).weights
    assert all(torch.equal(found[key], part) for key, part in parts.items())


def test_wrappers_of_parallel_and_compiled_networks_leave_no_trace() -> None:
    found = read(
        saved_checkpoint(
            checkpoint_content({"module._orig_mod.a": torch.ones(2), "b": torch.nn.Parameter(torch.zeros(1))})
        )
    )
    assert sorted(found.weights) == ["a", "b"]


def test_numbers_of_numpy_and_devices_in_the_log_do_no_harm() -> None:
    log = {"dice": [np.float32(0.5), np.float64(0.25)], "per_class": [[np.float32(0.5)]]}
    started = checkpoint_content()["init_args"] | {"device": torch.device("cpu"), "fold": "all"}
    content = checkpoint_content(logging=log, _best_ema=np.float64(0.5), init_args=started)
    assert read(saved_checkpoint(content)).fold == "all"


def test_a_trainer_without_mirroring_and_without_its_plans_is_read() -> None:
    content = checkpoint_content(inference_allowed_mirroring_axes=None)
    content["init_args"] = {"configuration": "2d"}
    found = read(saved_checkpoint(content))
    assert (found.mirror_axes, found.plans, found.fold, found.configuration) == ((), {}, None, "2d")


CALL = b"\x80\x02c%s\n%s\nX\x04\x00\x00\x00echo\x85R."
ATTACKS = {
    "a call": CALL % (b"os", b"system"),
    "a call of a builtin": CALL % (b"builtins", b"eval"),
    "a name by the newer instruction": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04echo\x85R.",
    "an old instruction that makes objects": b"(S'echo'\nios\nsystem\n.",
    "an object of any class": b"\x80\x02c%s\n%s\n)\x81." % (b"subprocess", b"Popen"),
    "an extension": b"\x80\x02\x82\x01.",
    "a name beside the list": CALL % (b"torch._utils", b"_rebuild_sparse_tensor"),
    "a dotted name": b"\x80\x04\x8c\x05torch\x8c\x0d_utils.system\x93.",
    "a lookup through a known name": b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00aX\x01\x00\x00\x00bsb.",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_asks_for_code_is_refused_and_none_runs(
    attack: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def called(*_: Any) -> None:
        raise AssertionError("code of the file was run")

    monkeypatch.setattr(os, "system", called)
    monkeypatch.setattr("builtins.eval", called)
    monkeypatch.setattr("subprocess.Popen.__init__", called)
    with pytest.raises(ModelError):
        read(zipped(ATTACKS[attack]))


def test_the_refusal_names_what_was_asked_for() -> None:
    with pytest.raises(ModelError, match=r"it asks for the name 'os system'"):
        read(zipped(ATTACKS["a call"]))


def test_a_call_of_what_has_no_name_is_refused() -> None:
    # A tuple in the place of a function.
    with pytest.raises(ModelError, match="a call of something that has no name"):
        read(zipped(b"\x80\x02))R."))


def described(tensor: bytes) -> bytes:
    """A description with one tensor as weights: what follows its name."""
    return b"\x80\x02}X\x0f\x00\x00\x00network_weights}X\x01\x00\x00\x00a" + tensor + b"ss."


def told_tensor(kind: bytes, count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A tensor of storage ``0`` as torch describes it."""

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    def row(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    stored = b"(X\x07\x00\x00\x00storagectorch\n%s\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQ" % (kind, number(count))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + number(offset) + row(size) + row(stride) + b"\x89NtR"


@pytest.mark.parametrize(
    ("count", "offset", "size", "stride"),
    [
        (4, 0, (5,), (1,)),
        (4, 1, (4,), (1,)),
        (4, 0, (2, 2), (3, 1)),
        (4, 0, (1_000_000, 1_000_000), (0, 0)),
        (4, -1, (2,), (1,)),
        (4, 0, (2,), (-1,)),
        (4, 0, (2, 2), (1,)),
        (4, 0, (1,) * 9, (1,) * 9),
    ],
)
def test_a_tensor_that_reaches_beyond_its_elements_is_refused(
    count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    told = described(told_tensor(b"FloatStorage", count, offset, size, stride))
    with pytest.raises(ModelError, match="reaches beyond its elements"):
        read(zipped(told, {"0": bytes(16)}))


def test_told_tensors_like_those_above_are_read_when_they_fit() -> None:
    told = described(told_tensor(b"FloatStorage", 4, 0, (2, 2), (2, 1)))
    with pytest.raises(ModelError, match=r"trainer_name is missing"):  # all that this file lacks
        read(zipped(told, {"0": bytes(16)}))


@pytest.mark.parametrize("size_bytes", [0, 12, 15, 17, 2**20])
def test_elements_of_another_size_than_told_are_refused(size_bytes: int) -> None:
    told = described(told_tensor(b"FloatStorage", 4, 0, (4,), (1,)))
    with pytest.raises(ModelError, match=f"{size_bytes} bytes where 16 are told"):
        read(zipped(told, {"0": bytes(size_bytes)}))


def test_elements_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(ModelError, match="ComplexFloatStorage"):
        read(zipped(described(told_tensor(b"ComplexFloatStorage", 4, 0, (4,), (1,))), {"0": bytes(16)}))


def test_packed_parts_are_refused_so_that_no_file_grows_when_it_is_read() -> None:
    told = described(told_tensor(b"FloatStorage", 2**22, 0, (2**22,), (1,)))
    bomb = zipped(told, {"0": bytes(2**24)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**16
    with pytest.raises(ModelError, match="compressed"):
        read(bomb)


def test_parts_that_lie_on_top_of_each_other_are_refused() -> None:
    sound = zipped(described(b"N"), {"0": bytes(10_000)})
    # The directory tells of one part twice over, by changing the size that it has for a small one.
    place = sound.rindex(b"archive/byteorder") - 46
    larger = bytearray(sound)
    for field in (20, 24):
        larger[place + field : place + field + 4] = (1_000_000).to_bytes(4, "little")
    with pytest.raises(ModelError, match="claims to be larger than its file"):
        read(bytes(larger))


def test_two_parts_of_one_name_are_refused() -> None:
    file = io.BytesIO(zipped(described(b"N")))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("archive/byteorder", b"little")
    with pytest.raises(ModelError, match="two parts of one name"):
        read(file.getvalue())


def test_a_list_that_holds_itself_many_times_over_takes_no_time() -> None:
    # Each of forty lists holds the one before twice: 2^40 entries to whoever walks through them.
    doubling = b"]q\x00" + b"".join(b"]q%c(h%ch%ce" % (n + 1, n, n) for n in range(40))
    plans = b"X\x05\x00\x00\x00plans}X\x01\x00\x00\x00p](" + doubling + b"es"
    started = b"X\x09\x00\x00\x00init_args}(X\x0d\x00\x00\x00configurationX\x02\x00\x00\x002d" + plans + b"u"
    rest = b"X\x0c\x00\x00\x00trainer_nameX\x01\x00\x00\x00t" + started
    content = b"\x80\x02}(X\x0f\x00\x00\x00network_weights}" + rest + b"u."
    with pytest.raises(ModelError, match="too large to be those of a network"):
        read(zipped(content))


def test_numbers_without_end_and_keys_of_any_kind_are_refused() -> None:
    with pytest.raises(ModelError, match="more than 64 bits"):
        read(zipped(b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b"."))
    with pytest.raises(ModelError, match="neither text nor a number"):
        read(zipped(b"\x80\x02})Ns."))


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -10, -100, -1000])
def test_a_file_that_was_cut_off_is_called_damaged(cut: int) -> None:
    with pytest.raises(ModelError):
        read(saved_checkpoint(checkpoint_content({"a": torch.zeros(100)}))[:cut])


def test_any_changed_byte_is_noticed_or_changes_nothing_but_what_is_not_read() -> None:
    content = saved_checkpoint(checkpoint_content({"a": torch.arange(50.0)}))
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 300):
        changed = bytearray(content)
        changed[place] ^= int(rng.integers(1, 256))
        try:
            found = read(bytes(changed))
        except ModelError:
            continue
        assert torch.equal(found.weights["a"], torch.arange(50.0))


def test_the_format_of_the_first_torch_versions_is_told_by_name() -> None:
    file = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, file, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match=r"before 1\.6"):
        read(file.getvalue())


def test_other_files_of_torch_are_no_checkpoints_of_nnunet() -> None:
    with pytest.raises(ModelError, match="no network_weights"):
        read(saved_checkpoint({"state_dict": {}}))
    with pytest.raises(ModelError, match="something else than tensors"):
        read(saved_checkpoint(checkpoint_content({"a": [1, 2]})))
    with pytest.raises(ModelError, match="mirroring"):
        read(saved_checkpoint(checkpoint_content(inference_allowed_mirroring_axes=(0, 5))))


def test_a_zip_file_of_anything_else_is_no_checkpoint() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelError, match=r"data\.pkl is missing"):
        read(file.getvalue())


def test_bytes_in_another_order_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/byteorder", b"big")
    with pytest.raises(ModelError, match="another order of bytes"):
        read(file.getvalue())
