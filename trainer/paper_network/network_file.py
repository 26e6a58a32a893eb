"""A trained network of the published kind as one data file: weights, what the check compares with, and the manifest.

It is no model file: nothing but an experiment reads it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.structure import from_plain, to_plain
from trainer.paper_network.dense_network import DenseNetwork
from trainer.paper_network.settings import PaperSettings
from trainer.paper_network.spectral_check import SpectralCheck

NETWORK, SIGNATURES = "network.", "reference.signatures"
MANIFEST, SETTINGS, THRESHOLD = "manifest", "settings", "threshold"
REMEDY = "Remove the run's folder and start again"


@dataclass(frozen=True)
class PaperModel:
    """What a file holds.

    Attributes:
        manifest: tasks, architecture and whom the network has seen; nothing in it was measured.
        settings: of network and inference.
        network: without dropout.
        check: what images are compared with.
    """

    manifest: Manifest
    settings: PaperSettings
    network: DenseNetwork
    check: SpectralCheck


def save_paper_model(path: Path, model: PaperModel) -> None:
    """Write the file, whole or not at all.

    Raises:
        ResourceError: it cannot be written.
    """
    tensors = {f"{NETWORK}{name}": tensor.detach().cpu() for name, tensor in model.network.state_dict().items()}
    tensors[SIGNATURES] = torch.from_numpy(model.check.signatures)
    said = {
        MANIFEST: to_plain(model.manifest),
        SETTINGS: dataclasses.asdict(model.settings),
        THRESHOLD: model.check.threshold,
    }
    with atomic_path(path) as temporary:
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, temporary, metadata={name: json.dumps(value) for name, value in said.items()})


def load_paper_model(path: Path) -> PaperModel:
    """Read the file.

    Raises:
        ModelError: it is missing, damaged, or its parts do not fit.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            said = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
        manifest = from_plain(Manifest, said[MANIFEST], MANIFEST)
        settings = from_plain(PaperSettings, said[SETTINGS], SETTINGS)
        network = DenseNetwork(manifest.architecture, settings.dropout)
        network.load_state_dict({k.removeprefix(NETWORK): v for k, v in tensors.items() if k.startswith(NETWORK)})
        signatures = tensors[SIGNATURES].numpy().astype(np.float64)
        check = SpectralCheck(signatures, float(said[THRESHOLD]))
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"the published network cannot be read ({error})", file=path, remedy=REMEDY) from error
    return PaperModel(manifest, settings, network.eval().requires_grad_(False), check)
