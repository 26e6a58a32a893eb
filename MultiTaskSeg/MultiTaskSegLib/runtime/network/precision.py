"""In which precision numbers are multiplied: what there is, and what this computer is made for."""

from __future__ import annotations

from typing import Literal, get_args

import torch

Precision = Literal["float32", "bfloat16", "float16"]
Lower = Literal["bfloat16", "float16"]
FLOAT32: Precision = "float32"
LOWER_PRECISIONS: tuple[Lower, ...] = get_args(Lower)
DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# Cards from here on multiply in float16 (Volta) and in bfloat16 (Ampere).
FLOAT16_CAPABILITY, BFLOAT16_CAPABILITY = (7, 0), (8, 0)
# What torch calls its own questions to the processor; none is a promise, so that a missing one means no.
PROCESSOR_QUESTIONS = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")


def hardware_precisions(device: torch.device) -> tuple[Lower, ...]:
    """The lower precisions that a device has instructions for; elsewhere they are slower than float32.

    Args:
        device: ``cpu`` or ``cuda``; of others nothing is known.
    """
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        has: dict[Lower, bool] = {
            "bfloat16": capability >= BFLOAT16_CAPABILITY,
            "float16": capability >= FLOAT16_CAPABILITY,
        }
        return tuple(precision for precision in LOWER_PRECISIONS if has[precision])
    if device.type != "cpu":
        return ()
    questions = (getattr(torch.cpu, name, None) for name in PROCESSOR_QUESTIONS)
    return ("bfloat16",) if any(ask is not None and ask() for ask in questions) else ()
