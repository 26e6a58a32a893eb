"""The model file of an imported model: the same container as one of our own, manifest format 2.

Tensors: ``network.FOLD.NAME``, the weights of each fold in the precision in which they were trained, and
``reference.*`` where the model has a reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError, MtsError
from MultiTaskSegLib.runtime.imported.imported_consistency import (
    check_imported_bounds,
    check_imported_manifest,
    expected_tensors,
)
from MultiTaskSegLib.runtime.imported.imported_manifest import FORMAT_VERSION, KIND, ImportedManifest
from MultiTaskSegLib.runtime.model.data_file import (
    MAX_HEADER_BYTES,
    REMEDY,
    read_data_file,
    read_description,
    require_digest,
    require_finite,
    write_data_file,
)
from MultiTaskSegLib.runtime.model.model_consistency import check_tensors
from MultiTaskSegLib.runtime.model.model_file import stored_reference
from MultiTaskSegLib.runtime.model.structure import from_plain, to_plain
from MultiTaskSegLib.runtime.nnunet.unet import Unet
from MultiTaskSegLib.runtime.nnunet.unet_weights import empty_network, filled
from MultiTaskSegLib.runtime.ood.cell_reference import CellMemory, read_memories
from MultiTaskSegLib.runtime.ood.reference import SpectralReference

TENSOR_TABLE_BYTES = 200
"""Of the header, for the name, type and place of one tensor."""


@dataclass(frozen=True)
class ImportedModel:
    """A loaded model.

    Attributes:
        manifest: its description.
        networks: of the folds, float32, in evaluation mode.
        digest: SHA-256 of the content.
        reference: what images are compared with; None where there is none.
        memories: what cells of known images look like; none without a reference.
    """

    manifest: ImportedManifest
    networks: tuple[Unet, ...]
    digest: str
    reference: SpectralReference | None = None
    memories: tuple[CellMemory, ...] = ()


def save_imported(
    path: Path,
    manifest: ImportedManifest,
    networks: tuple[Unet, ...],
    reference: Mapping[str, Tensor] | None = None,
) -> str:
    """Write a model file as a whole or not at all, and return its digest.

    Args:
        path: where to.
        manifest: description; must fit ``networks``.
        networks: of the folds, in the order of the manifest.
        reference: tensors from `reference_tensors`, and from `cell_tensors`; where the manifest has a check.

    Raises:
        ModelError: a weight is not finite, or the parts contradict each other.
        ResourceError: the file cannot be written.
    """
    tensors = {
        f"network.{number}.{name}": tensor.detach().cpu().contiguous()
        for number, network in enumerate(networks)
        for name, tensor in network.state_dict().items()
    }
    tensors |= reference or {}
    # What could not be read again is not written.
    check_imported_manifest(manifest)
    require_finite(tensors, path)
    _check_tensors(manifest, tensors)
    text = json.dumps(to_plain(manifest), sort_keys=True, ensure_ascii=False)
    _manifest(text, path)
    length = len(json.dumps(text, ensure_ascii=False).encode("utf-8"))
    if length + TENSOR_TABLE_BYTES * len(tensors) > MAX_HEADER_BYTES:
        raise ModelError("the description of the model is too long for a model file", remedy="Import fewer folds")
    return write_data_file(path, text, tensors)


def load_imported(path: str | Path) -> ImportedModel:
    """Read and check a model file.

    Raises:
        ModelError: the file is missing, damaged, altered, of another kind, or contradicts itself.
    """
    path = Path(path)
    try:
        metadata, manifest, tensors = read_data_file(path, _manifest)
        require_digest(metadata, tensors)
        require_finite(tensors, path)
        _check_tensors(manifest, tensors)
        reference = None
        if manifest.ood is not None:
            reference = stored_reference(manifest.in_own_terms(manifest.ood), tensors)
    except MtsError as error:
        # Checks of single values do not know which file they came from.
        raise ModelError(error.what, file=path, remedy=error.remedy or REMEDY) from error
    networks = tuple(_network(manifest, tensors, number) for number in range(len(manifest.origin.folds)))
    return ImportedModel(manifest, networks, metadata["digest"], reference, read_memories(tensors, 1))


def is_imported(path: str | Path) -> bool:
    """Whether a model file says that another program trained it.

    Raises:
        ModelError: it is no model file.
    """
    try:
        plain = json.loads(read_description(Path(path)))
    except (ValueError, RecursionError):
        return False
    return isinstance(plain, dict) and "kind" in plain


def _manifest(text: str, path: Path) -> ImportedManifest:
    try:
        plain = json.loads(text)
        kind, version = (plain.get(key) if isinstance(plain, dict) else None for key in ("kind", "format_version"))
        if kind != KIND or version != FORMAT_VERSION:
            raise ModelError(
                f"the model file has format version {version!r:.40} of kind {kind!r:.40}, "
                f"this program reads {FORMAT_VERSION} of {KIND!r}",
                file=path,
                remedy="Update MultiTaskSeg or import the model again",
            )
        check_imported_bounds(plain)
        manifest = from_plain(ImportedManifest, plain, "manifest")
        check_imported_manifest(manifest)
        return manifest
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the manifest is malformed ({error})", file=path, remedy=REMEDY) from error


def _check_tensors(manifest: ImportedManifest, tensors: Mapping[str, Tensor]) -> None:
    expected = expected_tensors(manifest)
    found = {name: tensor for name, tensor in tensors.items() if name.startswith("network.")}
    if manifest.ood is not None:
        check_tensors(manifest.in_own_terms(manifest.ood), tensors)
    elif len(found) < len(tensors):
        raise ModelError(f"tensor {min(set(tensors) - set(found))} is unknown")
    for name in sorted(expected.keys() | found.keys()):
        fits = name in expected and name in found and tuple(found[name].shape) == expected[name]
        if not fits or found[name].dtype is not torch.float32:
            raise ModelError(f"the weights do not fit the network that the manifest describes ({name})")


def _network(manifest: ImportedManifest, tensors: Mapping[str, Tensor], number: int) -> Unet:
    plan, prefix = manifest.plan, f"network.{number}."
    network = empty_network(plan.network, len(plan.structures.channels), plan.structures.outputs)
    state = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return filled(network, state, plan.network.dimension)
