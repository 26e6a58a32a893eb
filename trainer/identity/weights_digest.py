"""Fingerprint of a network's weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from torch import Tensor


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values of weights, whatever their order and device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
