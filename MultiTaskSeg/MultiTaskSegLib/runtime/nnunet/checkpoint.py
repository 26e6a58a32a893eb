"""A checkpoint of nnU-Net v2: weights of the network, and how it was trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.nnunet.object_stream import PARAMETER, TENSOR, Named, StoredElements, read_objects
from MultiTaskSegLib.runtime.nnunet.plain_data import plain_data
from MultiTaskSegLib.runtime.nnunet.torch_archive import AGAIN, TorchArchive, opened_archive

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
    "int64": torch.int64,
    "int32": torch.int32,
    "bool": torch.bool,
    "uint8": torch.uint8,
}
MAX_DIMENSIONS = 8
MAX_NUMBER = 2**48
MAX_LETTERS = 200
# nnU-Net names each tensor up to four times; a file that names one a thousand times would fill all memory.
MAX_REPEATS = 8
# Wrappers of data-parallel and compiled networks.
PREFIXES = re.compile(r"^(?:module\.|_orig_mod\.)+")


@dataclass(frozen=True)
class Checkpoint:
    """What an nnU-Net checkpoint holds that is needed to run the network.

    Attributes:
        weights: tensors by the names of nnU-Net's network, without the wrappers' prefixes.
        trainer: name of the trainer class.
        configuration: name of the configuration that was trained.
        fold: number of the fold, or ``all``; None if it is not told.
        plans: the plans that it was trained with, as plain data; empty if they are not told.
        dataset: its dataset.json; empty if it is not told.
        mirror_axes: spatial axes along which results may be averaged over mirrored images; none where the trainer
            did not mirror.
        epochs: that were trained.
    """

    weights: Mapping[str, Tensor]
    trainer: str
    configuration: str
    fold: int | str | None
    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]
    mirror_axes: tuple[int, ...]
    epochs: int


def read_checkpoint(file: IO[bytes], name: str | Path) -> Checkpoint:
    """Read ``checkpoint_final.pth`` as data; no code that it names is looked up or run.

    Args:
        file: readable and seekable.
        name: how errors call it.

    Raises:
        ModelError: it is no checkpoint of nnU-Net v2, is damaged, or asks for something else than data.
    """
    with opened_archive(file, name) as archive:
        content = read_objects(archive.description(), archive.name)
        if not isinstance(content, dict) or not isinstance(content.get("network_weights"), dict):
            raise ModelError("the file is no checkpoint of nnU-Net v2 (no network_weights)", file=name)
        tensors = _Tensors(archive)
        weights = {PREFIXES.sub("", str(key)): tensors.of(value) for key, value in content["network_weights"].items()}
    started = content.get("init_args")
    started = started if isinstance(started, dict) else {}
    fold = started.get("fold")
    return Checkpoint(
        weights=weights,
        trainer=_text(content.get("trainer_name"), "trainer_name", name),
        configuration=_text(started.get("configuration"), "init_args.configuration", name),
        fold=fold if isinstance(fold, int | str) else None,
        plans=_mapping(started.get("plans"), name),
        dataset=_mapping(started.get("dataset_json"), name),
        mirror_axes=_axes(content.get("inference_allowed_mirroring_axes"), name),
        epochs=_whole(content.get("current_epoch")),
    )


class _Tensors:
    """Tensors of an archive; those of one storage share its memory, so that all together need no more than the file."""

    def __init__(self, archive: TorchArchive) -> None:
        self._archive, self._left_bytes = archive, MAX_REPEATS * archive.file_bytes
        self._storages: dict[tuple[str, torch.dtype], Tensor] = {}

    def of(self, value: Any) -> Tensor:
        """The tensor that the description tells of."""
        while isinstance(value, Named) and value.name == PARAMETER and value.arguments:
            value = value.arguments[0]
        if not (isinstance(value, Named) and value.name == TENSOR and value.arguments and len(value.arguments) >= 4):
            raise self._damaged("holds something else than tensors as weights")
        elements, offset, size, stride = value.arguments[:4]
        if not isinstance(elements, StoredElements) or not _fits(elements.count, offset, size, stride):
            raise self._damaged("has a tensor that reaches beyond its elements")
        dtype = DTYPES[elements.dtype]
        self._left_bytes -= prod(size) * dtype.itemsize
        if self._left_bytes < 0:
            raise self._damaged("claims to hold more than its file")
        stored = self._storage(elements, dtype)
        return stored.as_strided(size, stride, offset) if prod(size) else torch.zeros(size, dtype=dtype)

    def _storage(self, elements: StoredElements, dtype: torch.dtype) -> Tensor:
        place = (elements.key, dtype)
        if place not in self._storages:
            stored = bytearray(self._archive.storage(elements.key, elements.count * dtype.itemsize))
            # A copy, because torch computes faster, and in one order, from where it puts memory itself.
            self._storages[place] = torch.frombuffer(stored, dtype=dtype).clone() if stored else torch.zeros(0)
        if len(self._storages[place]) < elements.count:
            raise self._damaged("has a tensor that reaches beyond its elements")
        return self._storages[place]

    def _damaged(self, what: str) -> ModelError:
        return ModelError(f"the checkpoint {what}", file=self._archive.name, remedy=AGAIN)


def _fits(count: int, offset: Any, size: Any, stride: Any) -> bool:
    """Whether a tensor lies within its elements, and is no larger than they are."""
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= MAX_DIMENSIONS):
        return False
    numbers = (offset, *size, *stride)
    if not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < MAX_NUMBER for n in numbers):
        return False
    if prod(size) == 0:
        return bool(prod(max(n, 1) for n in size) < MAX_NUMBER)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    return bool(prod(size) <= count and last < count)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _text(value: Any, what: str, name: str | Path) -> str:
    if not isinstance(value, str):
        raise ModelError(f"the file is no checkpoint of nnU-Net v2 ({what} is missing)", file=name)
    if len(value) > MAX_LETTERS or not value.isprintable():
        raise ModelError(f"the checkpoint is damaged ({what} is no name)", file=name, remedy=AGAIN)
    return value


def _mapping(value: Any, name: str | Path) -> Mapping[str, Any]:
    data = plain_data(value, name) if isinstance(value, dict) else {}
    return data if isinstance(data, dict) else {}


def _axes(value: Any, name: str | Path) -> tuple[int, ...]:
    if value is None:
        return ()
    # An axis told many times over would ask for as many mirrored images as there are subsets.
    is_sound = isinstance(value, tuple | list) and len(value) <= 3 and all(axis in (0, 1, 2) for axis in value)
    if not is_sound or len(set(value)) < len(value):
        raise ModelError("the axes along which the checkpoint allows mirroring are not understood", file=name)
    return tuple(int(axis) for axis in value)
