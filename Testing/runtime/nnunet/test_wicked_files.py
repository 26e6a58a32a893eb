"""Files made to take all memory, all time or a traceback: each is refused at once and in words."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.nnunet import zip_directory
from MultiTaskSegLib.runtime.nnunet.checkpoint import Checkpoint, read_checkpoint
from MultiTaskSegLib.runtime.nnunet.plan_value import PlanValues, json_values
from MultiTaskSegLib.runtime.nnunet.results_source import results_source
from MultiTaskSegLib.runtime.nnunet.trained_model import load_trained_model, trained_models
from Testing.runtime.nnunet.checkpoint_bytes import (
    checkpoint_content,
    nnunet_weights,
    saved_checkpoint,
    written_results,
    zipped,
)


def read(content: bytes) -> Checkpoint:
    return read_checkpoint(io.BytesIO(content), "checkpoint_final.pth")


def text(words: bytes | str) -> bytes:
    content = words.encode() if isinstance(words, str) else words
    return b"X" + struct.pack("<I", len(content)) + content


# Each of forty pairs holds the one before twice: as text they would have 2^40 parts.
DOUBLING = b")q\x00" + b"".join(b"h%c\x86q%c" % (n, n + 1) for n in range(40))
DEEP = b"]" * 30_000 + b"a" * 29_999


def told_tensor(count: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A tensor of storage ``0``, with numbers of up to 64 bits."""

    def number(value: int) -> bytes:
        return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)

    def row(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    stored = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(count) + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + number(0) + row(size) + row(stride) + b"\x89NtR"


def with_weights(entries: bytes, rest: bytes = b"") -> bytes:
    """A description of a checkpoint with these names and tensors."""
    started = text("init_args") + b"}(" + text("configuration") + text("2d") + rest + b"u"
    weights = text("network_weights") + b"}(" + entries + b"u"
    return b"\x80\x02}(" + weights + text("trainer_name") + text("t") + started + b"u."


@pytest.mark.parametrize(
    ("description", "words"),
    [
        (b"\x80\x04" + DOUBLING + text("a") + b"\x93.", "a name that is no text"),
        (b"\x80\x02(" + text("storage") + DOUBLING + text("0") + text("cpu") + b"K\x01tQ.", "without their kind"),
        (b"\x80\x02(" + text("storage") + DEEP + text("0") + text("cpu") + b"K\x01tQ.", "without their kind"),
        (b"\x80\x02" + DEEP + b".", "no network_weights"),
        (b"L" + b"9" * 100_000 + b"L\n.", "a line of more than"),
        (b"I" + b"9" * 100_000 + b"\n.", "a line of more than"),
        (b"\x80\x02c" + b"o" * 900 + b"\nx\n.", "the name 'o{100}'"),
    ],
)
def test_descriptions_that_grow_when_they_are_told_are_refused(description: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        read(zipped(description))


def test_a_name_with_a_million_wrappers_takes_no_time() -> None:
    with pytest.raises(ModelError, match="something else than tensors"):
        read(zipped(with_weights(text("module." * 1_000_000) + b"N")))


@pytest.mark.parametrize(
    ("size", "stride"),
    [
        ((0, 2**64 - 1), (1, 1)),
        ((0, 2**40, 2**40), (1, 1, 1)),
        ((1, 1), (2**64 - 1, 1)),
        ((0, 2), (2**63 + 5, 1)),
    ],
)
def test_sizes_that_no_tensor_can_have_are_refused(size: tuple[int, ...], stride: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="beyond its elements"):
        read(zipped(with_weights(text("a") + told_tensor(4, size, stride)), {"0": bytes(16)}))


def test_many_names_of_one_storage_do_not_multiply_it() -> None:
    told = told_tensor(2**16, (2**16,), (1,))
    few = b"".join(text(f"k{n}") + told for n in range(4))
    found = read(zipped(with_weights(few), {"0": bytes(2**18)}))
    assert len({tensor.data_ptr() for tensor in found.weights.values()}) == 1
    many = b"".join(text(f"k{n}") + told for n in range(100))
    with pytest.raises(ModelError, match="claims to hold more than its file"):
        read(zipped(with_weights(many), {"0": bytes(2**18)}))


def test_a_storage_that_is_told_with_two_sizes_is_refused() -> None:
    told = text("a") + told_tensor(4, (4,), (1,)) + text("b") + told_tensor(8, (8,), (1,))
    with pytest.raises(ModelError, match="beyond its elements"):
        read(zipped(with_weights(told), {"0": bytes(16)}))


def test_one_long_text_in_many_places_is_not_written_out() -> None:
    plans = text("plans") + b"}" + text("p") + b"](" + text("x" * 2**20) + b"q\x01" + b"h\x01" * 1000 + b"es"
    with pytest.raises(ModelError, match="too large to be those of a network"):
        read(zipped(with_weights(b"", plans)))


@pytest.mark.parametrize("axes", [(0,) * 60, (0, 0), (0, 1, 2, 0), ([],)])
def test_axes_of_mirroring_are_told_once(axes: Any) -> None:
    with pytest.raises(ModelError, match="mirroring"):
        read(saved_checkpoint(checkpoint_content(inference_allowed_mirroring_axes=axes)))


@pytest.mark.parametrize("trainer", ["t" * 10_000, "a\x1b[2J", "a\nb"])
def test_what_is_no_name_is_not_shown(trainer: str) -> None:
    with pytest.raises(ModelError, match="trainer_name is no name"):
        read(saved_checkpoint(checkpoint_content(trainer_name=trainer)))


def patched(content: bytes, name: bytes, field: int, value: bytes) -> bytes:
    """A zip file with other bytes in the directory's entry of a part."""
    place = content.rindex(name) - 46 + field
    return content[:place] + value + content[place + len(value) :]


PART = with_weights(text("a") + told_tensor(4, (4,), (1,)))


@pytest.mark.parametrize(
    ("field", "value"), [(20, b"\xff\xff\xff\x7f"), (24, b"\x01\0\0\0"), (42, b"\xf0\xff\xff\x7f"), (42, b"\x05\0\0\0")]
)
def test_a_directory_with_wrong_sizes_and_places_is_called_damaged(field: int, value: bytes) -> None:
    with pytest.raises(ModelError):
        read(patched(zipped(PART, {"0": bytes(16)}), b"archive/data/0", field, value))


def test_a_directory_larger_than_any_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = zipped(PART, {"0": bytes(16), "name" * 100: b"", "other" * 100: b""})
    assert read(sound).configuration == "2d"
    monkeypatch.setattr(zip_directory, "MAX_DIRECTORY_BYTES", 1000)
    with pytest.raises(ModelError, match="damaged"):
        read(sound)


def packed(path: Path, change: Callable[[str], str] = str, packing: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip file of a model with one fold."""
    place = written_results(path.parent / "results", {"0": saved_checkpoint(checkpoint_content(nnunet_weights()))})
    with zipfile.ZipFile(path, "w", packing) as archive:
        for file in sorted(place.rglob("*.*")):
            member = zipfile.ZipInfo("x")
            member.filename, member.compress_type = change(file.relative_to(place).as_posix()), packing
            archive.writestr(member, file.read_bytes())
    return path


def loaded(path: Path) -> int:
    source = results_source(path)
    return sum(len(load_trained_model(source, model).folds) for model in trained_models(source))


def test_names_with_needless_parts_are_found(tmp_path: Path) -> None:
    assert loaded(packed(tmp_path / "a.zip", lambda name: f"./m//{name}")) == 1


def test_a_folder_with_the_name_of_a_checkpoint_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth/"):
            archive.writestr(name, b"")
    with pytest.raises(ModelError, match=r"no checkpoint_final\.pth"):
        loaded(path)


def test_every_changed_byte_of_a_zip_file_is_noticed_or_does_no_harm(tmp_path: Path) -> None:
    content = packed(tmp_path / "a.zip").read_bytes()
    end = content.rindex(b"PK\x05\x06")
    (start,) = struct.unpack("<I", content[end + 16 : end + 20])
    generator = torch.Generator().manual_seed(0)
    told = []
    places = [*range(60), *range(start, len(content), 9)]
    for place, flip in zip(places, torch.randint(1, 256, (len(places),), generator=generator).tolist(), strict=True):
        changed = bytearray(content)
        changed[place] ^= flip
        (tmp_path / "b.zip").write_bytes(changed)
        try:
            loaded(tmp_path / "b.zip")
        except ModelError as error:
            told.append(str(error))
    assert told
    assert not any("\n" in line for line in told)


def test_damaged_packed_parts_are_told_by_name(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip")
    content = path.read_bytes()
    for name in (b"plans.json", b"fold_0/checkpoint_final.pth"):
        place = content.index(name) + len(name)
        path.write_bytes(content[:place] + b"\xff" * 8 + content[place + 8 :])
        with pytest.raises(ModelError, match=f"{name.decode()} in the zip file is damaged"):
            loaded(path)


def test_a_packing_whose_reader_asks_for_any_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="packed in an unusual way"):
        loaded(packed(tmp_path / "a.zip", packing=zipfile.ZIP_LZMA))


def test_parts_of_a_zip_file_that_lie_on_top_of_each_other_are_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", packing=zipfile.ZIP_STORED)
    path.write_bytes(patched(path.read_bytes(), b"plans.json", 20, (10**6).to_bytes(4, "little")))
    with pytest.raises(ModelError, match="on top of each other"):
        loaded(path)


def test_a_zip_file_on_several_disks_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(bytes(100) + struct.pack("<4sLQL", b"PK\x06\x07", 1, 0, 5) + end)
    # Python 3.14 looks closer before it calls a file a zip file.
    with pytest.raises(ModelError, match="is no zip file" if sys.version_info >= (3, 14) else "damaged"):
        results_source(path)


def test_a_path_that_the_system_does_not_take_is_told_in_words() -> None:
    # From Python 3.14 on such a path is one where nothing is.
    with pytest.raises(ModelError, match="no such folder" if sys.version_info >= (3, 14) else "cannot be read"):
        results_source(Path("a" * 5000))


def test_a_file_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    place = written_results(tmp_path / "m", {"0": b""})
    (tmp_path / "secret.json").write_text("{}", encoding="utf-8")
    (place / "plans.json").unlink()
    (place / "plans.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ModelError, match="leads out of the folder"):
        trained_models(results_source(place))


@pytest.mark.parametrize(
    "value", [10**399, -(10**399), 1e999, float("nan")], ids=["huge", "far below", "infinite", "no number"]
)
def test_numbers_beyond_measure_are_refused_by_name(value: float) -> None:
    table = PlanValues({"a": value, "b": [value]}, "", "plans.json")
    for ask in (lambda: table.number("a"), lambda: table.numbers("b"), lambda: table.integer("a")):
        with pytest.raises(ModelError, match=r"a|b"):
            ask()


@pytest.mark.parametrize("content", [b'{"a": %s}' % (b"9" * 1000), b'{"a": %s1%s}' % (b"[" * 200, b"]" * 200)])
def test_json_that_takes_time_or_stack_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"plans\.json"):
        json_values(content, "plans.json")


def test_what_a_file_says_is_told_on_one_short_line_without_control_characters() -> None:
    table = PlanValues({"a\x1b[2J\n" + "x" * 10_000: 1}, "", "plans.json")
    with pytest.raises(ModelError, match=r"not supported: a\?\[2J\?xx") as refused:
        table.require_known(set())
    assert len(str(refused.value)) < 400
