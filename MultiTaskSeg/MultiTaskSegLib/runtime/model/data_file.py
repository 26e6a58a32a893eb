"""A safetensors file with a description and a digest, whatever kind of model it describes: read strictly, no code."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError, ResourceError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path

MAX_HEADER_BYTES = 1_000_000
METADATA_KEYS = {"manifest", "digest"}
REMEDY = "Get the model file again"
Described = TypeVar("Described")


def read_data_file(
    path: Path, described: Callable[[str, Path], Described]
) -> tuple[dict[str, str], Described, dict[str, Tensor]]:
    """Metadata, description and tensors. No tensor is read of a file whose description asks for the impossible.

    Args:
        path: of the file.
        described: makes the description of its text, or refuses it.

    Raises:
        ModelError: there is no such file, or it is none of ours.
    """
    try:
        with _opened(path) as archive:
            metadata = _metadata(archive, path)
            description = described(metadata["manifest"], path)
            # What the library returns may lie in the mapped file: a file copied over later would change a loaded model.
            tensors = {name: archive.get_tensor(name).clone() for name in archive.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"the model file cannot be read ({error})", file=path, remedy=REMEDY) from error
    return metadata, description, tensors


def read_description(path: Path) -> str:
    """The text of the description alone; nothing of it is checked.

    Raises:
        ModelError: there is no such file, or it is none of ours.
    """
    try:
        with _opened(path) as archive:
            return _metadata(archive, path)["manifest"]
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"the model file cannot be read ({error})", file=path, remedy=REMEDY) from error


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise ModelError("there is no such model file", file=path, remedy="Check the path, or use the released model")
    with path.open("rb") as stream:
        head = stream.read(8)
    if len(head) < 8 or struct.unpack("<Q", head)[0] > MAX_HEADER_BYTES:
        raise ModelError("this is not a MultiTaskSeg model file", file=path, remedy=REMEDY)
    return safe_open(path, framework="pt")


def _metadata(archive: Any, path: Path) -> dict[str, str]:
    metadata = dict(archive.metadata() or {})
    if set(metadata) != METADATA_KEYS:
        raise ModelError("this is not a MultiTaskSeg model file", file=path, remedy=REMEDY)
    return metadata


def write_data_file(path: Path, text: str, tensors: Mapping[str, Tensor]) -> str:
    """Write description and tensors as a whole or not at all, and return their digest.

    Raises:
        ResourceError: the file cannot be written.
    """
    digest = content_digest(text, tensors)
    with atomic_path(path) as temporary:
        try:
            save_file(dict(tensors), temporary, metadata={"manifest": text, "digest": digest})
        except SafetensorError as error:
            # The library's own words for what the system refuses, such as a full disk.
            raise ResourceError(f"cannot write ({error})", file=path, remedy="Check free disk space") from error
    return digest


def content_digest(manifest: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the manifest's text and every tensor's name, type, shape and bytes, in the order of names."""
    digest = hashlib.sha256(manifest.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def require_digest(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    """Refuse a file that is not as it was written.

    Raises:
        ModelError: its digest is that of another content.
    """
    if content_digest(metadata["manifest"], tensors) != metadata["digest"]:
        raise ModelError("the digest does not match: the model file was altered or damaged", remedy=REMEDY)


def require_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse numbers that are none.

    Raises:
        ModelError: a tensor holds some.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"tensor {name} holds NaN or infinite values", file=path, remedy=REMEDY)
