"""Model files taken apart and put together again, with a right digest or a wrong one."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from MultiTaskSegLib.runtime.model.data_file import content_digest

Change = Callable[[dict[str, Any], dict[str, Tensor], dict[str, str]], None]


def resealed(source: Path, target: Path, change: Change, seal: bool = True) -> Path:
    """Copy a model with changes; the digest is made to fit unless `seal` is false.

    Args:
        source: a good model file.
        target: where the copy goes.
        change: edits the manifest, the tensors and further metadata in place.
        seal: a digest proves integrity, not origin, so an attacker can compute it too.
    """
    with safe_open(source, framework="pt") as archive:
        metadata = dict(archive.metadata())
        tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    manifest = json.loads(metadata["manifest"])
    extra: dict[str, str] = {}
    change(manifest, tensors, extra)
    text = json.dumps(manifest)
    digest = content_digest(text, tensors) if seal else metadata["digest"]
    merged = {"manifest": text, "digest": digest, **extra}
    kept = {key: value for key, value in merged.items() if value}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, target, metadata=kept)
    return target


def with_header(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The same payload behind an edited safetensors header."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def first_weight(tensors: dict[str, Tensor]) -> Tensor:
    """One of the network's tensors, flat, to be changed in place."""
    name = min(name for name in tensors if name.startswith("network."))
    tensors[name] = tensors[name].clone()
    return tensors[name].view(-1)


def poison(value: float) -> Change:
    """A change that puts `value` into one weight."""

    def change(_: dict[str, Any], tensors: dict[str, Tensor], __: dict[str, str]) -> None:
        first_weight(tensors)[0] = torch.tensor(value)

    return change
