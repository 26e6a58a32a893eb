"""Where a training and what belongs to it is computed."""

from __future__ import annotations

import torch


def training_device() -> torch.device:
    """The CUDA card when there is one, else the processor.

    Asked once by each command; from there on the device is handed on, so that networks and images meet on the same one.
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
