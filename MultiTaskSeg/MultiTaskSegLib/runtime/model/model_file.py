"""The model file ``NAME.mts.safetensors``: one file, no code, refused when anything about it is not right.

Tensors: ``network.*`` (weights), ``reference.*`` (spectra of the training images). ``__metadata__`` holds the
manifest and a SHA-256 digest over the manifest and every tensor's name, type, shape and bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError, MtsError
from MultiTaskSegLib.runtime.model.data_file import (
    MAX_HEADER_BYTES,
    REMEDY,
    read_data_file,
    require_digest,
    require_finite,
    write_data_file,
)
from MultiTaskSegLib.runtime.model.manifest import FORMAT_VERSIONS, Manifest
from MultiTaskSegLib.runtime.model.manifest_bounds import check_bounds
from MultiTaskSegLib.runtime.model.model_consistency import check_manifest, check_tensors
from MultiTaskSegLib.runtime.model.structure import from_plain, to_plain
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.cell_reference import CellMemory, read_memories
from MultiTaskSegLib.runtime.ood.image_statistics import ImageStatistics
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.signature import IMAGE, Observed, SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum

TENSOR_TABLE_BYTES = 100_000
"""Of the header, for names, types and places of the tensors."""
KNOWN_FORMATS = " and ".join(map(str, FORMAT_VERSIONS))


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        manifest: its description.
        network: plain convolutions, float32, in evaluation mode.
        reference: for the out-of-distribution check.
        digest: SHA-256 of the content.
        memories: what cells of each task look like, for the map of foreign places; empty when the model has none.
    """

    manifest: Manifest
    network: SegmentationNetwork
    reference: SpectralReference
    digest: str
    memories: tuple[CellMemory, ...] = ()


def save_model(path: Path, manifest: Manifest, network: SegmentationNetwork, reference: dict[str, Tensor]) -> str:
    """Write a model file atomically and return its digest.

    Args:
        path: where to.
        manifest: description; must fit ``network``.
        network: with plain convolutions; its weights are stored as float16.
        reference: tensors from `reference_tensors`, and from `cell_tensors` for a map of foreign places.

    Raises:
        ModelError: a weight is not finite in float16, or the parts contradict each other.
        ResourceError: the file cannot be written.
    """
    weights = _stored(network.state_dict())
    return _write(path, manifest, {k: v.contiguous() for k, v in (weights | reference).items()})


def rewrite_manifest(
    source: Path,
    manifest: Manifest,
    path: Path,
    weights: Mapping[str, Tensor] | None = None,
    *,
    read_as: str | None = None,
) -> str:
    """Write the tensors of a model file, bit for bit, with another manifest and return the new digest.

    Args:
        source: model file.
        manifest: description; must fit the tensors.
        path: where to; may be ``source``.
        weights: of another network of the same architecture, by its names, instead of those in the file; None: those.
        read_as: digest of ``source`` when that was read which the manifest says of it, which may be hours ago: another
            file may have taken its place, whose weights are not those that were measured.

    Raises:
        ModelError: ``source`` is damaged, or another file than was read, or the manifest does not fit.
        ResourceError: the file cannot be written.
    """
    found = load_model(source).digest
    metadata, _, tensors = _read(Path(source))
    if metadata["digest"] != (read_as or found):
        raise ModelError(
            "another model has taken the place of the file that was worked on; nothing was written",
            file=source,
            remedy="Run the command again",
        )
    if weights is not None:
        tensors |= _stored(weights)
        _network(manifest, tensors, path)
    return _write(path, manifest, tensors)


def _stored(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"network.{k}": v.detach().cpu().to(torch.float16).contiguous() for k, v in weights.items()}


def _write(path: Path, manifest: Manifest, tensors: dict[str, Tensor]) -> str:
    # What could not be read again is not written.
    check_manifest(manifest)
    check_length(manifest)
    require_finite(tensors, path)
    check_tensors(manifest, tensors)
    return write_data_file(path, _text(manifest), tensors)


def check_length(manifest: Manifest) -> None:
    """Refuse a description that no reader would take.

    Raises:
        ModelError: it does not fit into the header of a model file.
    """
    # As it stands in the header: a text within JSON.
    length = len(json.dumps(_text(manifest), ensure_ascii=False).encode("utf-8"))
    most = MAX_HEADER_BYTES - TENSOR_TABLE_BYTES
    if length > most:
        raise ModelError(
            f"the description of the model takes {length} bytes, more than {most}",
            remedy="Train on fewer patients or datasets: the file names every one, and nothing is measured on them",
        )


def _text(manifest: Manifest) -> str:
    return json.dumps(to_plain(manifest), sort_keys=True, ensure_ascii=False)


def load_model(path: str | Path) -> Model:
    """Read and check a model file.

    Raises:
        ModelError: the file is missing, damaged, altered, of an unknown version, or does not fit its architecture.
    """
    path = Path(path)
    try:
        metadata, manifest, tensors = _read(path)
        require_digest(metadata, tensors)
        require_finite(tensors, path)
        check_tensors(manifest, tensors)
        network = _network(manifest, tensors, path)
        reference = stored_reference(manifest, tensors)
        memories = read_memories(tensors, len(manifest.tasks))
    except MtsError as error:
        # Checks of single values do not know which file they came from.
        raise ModelError(error.what, file=path, remedy=error.remedy or REMEDY) from error
    return Model(manifest, network, reference, metadata["digest"], memories)


def read_manifest(path: str | Path) -> tuple[Manifest, str]:
    """Manifest and digest, without building the network; the content is checked all the same.

    Raises:
        ModelError: as `load_model`.
    """
    model = load_model(path)
    return model.manifest, model.digest


def reference_tensors(images: Sequence[ReferenceImage], reference: SpectralReference) -> dict[str, Tensor]:
    """The spectral reference as tensors: training images' spectra, from which any signature can be computed later.

    Args:
        images: those that ``reference`` was fitted on; held-out ones are not stored.
        reference: gives scales and calibration scores.
    """
    known = [image for image in images if not image.held_out]
    tensors = {
        "reference.tasks": torch.tensor([image.task for image in known], dtype=torch.int64),
        "reference.calibration_scores": torch.from_numpy(reference.calibration_scores.astype(np.float64)),
    }
    for layer in known[0].spectra:
        if layer == IMAGE:
            tensors |= _statistics_tensors([image.spectra[IMAGE] for image in known], reference.spec.statistics)
            continue
        rows = [cast(LayerSpectrum, image.spectra[layer]) for image in known]
        prefix = f"reference.{layer}."
        values = np.stack([r.singular_values for r in rows]).astype(np.float32)
        tensors[prefix + "singular_values"] = torch.from_numpy(values)
        tensors[prefix + "voxels"] = torch.tensor([r.voxels for r in rows], dtype=torch.int64)
        means = np.stack([r.channel_means for r in rows]).astype(np.float32)
        tensors[prefix + "channel_means"] = torch.from_numpy(means)
    for block, scale in reference.scales.items():
        tensors[f"reference.{block}.scale"] = torch.from_numpy(scale.astype(np.float64))
    for block, projection in reference.projections.items():
        tensors[f"reference.{block}.projection"] = torch.from_numpy(projection.astype(np.float32))
    for block, shrinkage in reference.shrinkages.items():
        tensors[f"reference.{block}.shrinkage"] = torch.from_numpy(shrinkage.astype(np.float64))
    return tensors


def _statistics_tensors(rows: Sequence[LayerSpectrum | ImageStatistics], names: Sequence[str]) -> dict[str, Tensor]:
    statistics = [row.values for row in rows if isinstance(row, ImageStatistics)]
    return {
        f"reference.{IMAGE}.{name}.values": torch.from_numpy(np.stack([s[name] for s in statistics]).astype(np.float32))
        for name in names
    }


def _read(path: Path) -> tuple[dict[str, str], Manifest, dict[str, Tensor]]:
    return read_data_file(path, _manifest)


def _manifest(text: str, path: Path) -> Manifest:
    try:
        plain = json.loads(text)
        version = plain.get("format_version") if isinstance(plain, dict) else None
        if isinstance(plain, dict) and "kind" in plain:
            raise ModelError(
                "the model was imported from another program, and this is only for models that were trained here",
                file=path,
                remedy="Give a model that was trained here",
            )
        if version not in FORMAT_VERSIONS:
            raise ModelError(
                f"the model file has format version {version!r:.40}, this program reads {KNOWN_FORMATS}",
                file=path,
                remedy="Update MultiTaskSeg or get a matching model",
            )
        check_bounds(plain)
        manifest = from_plain(Manifest, plain, "manifest")
        check_manifest(manifest)
        return manifest
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the manifest is malformed ({error})", file=path, remedy=REMEDY) from error


def _network(manifest: Manifest, tensors: dict[str, Tensor], path: Path) -> SegmentationNetwork:
    # Every weight comes from the file, so nothing is gained by filling the network with random numbers first.
    with torch.device("meta"):
        network = SegmentationNetwork(manifest.architecture)
    prefix = "network."
    state = {k.removeprefix(prefix): v.to(torch.float32) for k, v in tensors.items() if k.startswith(prefix)}
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise ModelError("the weights do not fit the architecture", file=path, remedy=REMEDY) from error
    return network.eval().requires_grad_(False)


def stored_reference(manifest: Manifest, tensors: Mapping[str, Tensor]) -> SpectralReference:
    """The spectral reference that tensors of a model file hold, which `check_tensors` has passed."""
    ood, spec = manifest.ood, manifest.ood.spec
    signatures = [spec.vectors(spectra) for spectra in _stored_spectra(spec, tensors)]
    vectors = {block: np.stack([signature[block] for signature in signatures]) for block in spec.blocks}
    scales = {block: tensors[f"reference.{block}.scale"].numpy() for block in spec.blocks}
    projections, shrinkages = (_by_block(spec, tensors, part) for part in ("projection", "shrinkage"))
    names = [task.name for task in manifest.tasks]
    scores = tensors["reference.calibration_scores"].numpy()
    tasks = tensors["reference.tasks"].numpy()
    parts = (vectors, tasks, scales, scores, ood.threshold, projections, shrinkages)
    return SpectralReference(spec, names, *parts, limits=ood.limits)


def _by_block(spec: SignatureSpec, tensors: Mapping[str, Tensor], part: str) -> dict[str, NDArray[np.float64]]:
    stored = {block: tensors.get(f"reference.{block}.{part}") for block in spec.blocks}
    return {block: tensor.numpy().astype(np.float64) for block, tensor in stored.items() if tensor is not None}


def _stored_spectra(spec: SignatureSpec, tensors: Mapping[str, Tensor]) -> Iterator[Observed]:
    """Spectra and statistics of the training images, one after the other."""
    parts = ("singular_values", "voxels", "channel_means")
    layers = {layer: [tensors[f"reference.{layer}.{part}"].numpy() for part in parts] for layer in spec.layers}
    names = spec.statistics if spec.uses_image else ()
    statistics = {name: tensors[f"reference.{IMAGE}.{name}.values"].numpy().astype(np.float64) for name in names}
    for image in range(len(tensors["reference.tasks"])):
        observed: dict[str, LayerSpectrum | ImageStatistics] = {
            layer: LayerSpectrum(s[image].astype(np.float64), int(n[image]), m[image].astype(np.float64))
            for layer, (s, n, m) in layers.items()
        }
        if names:
            observed[IMAGE] = ImageStatistics({name: rows[image] for name, rows in statistics.items()})
        yield observed
