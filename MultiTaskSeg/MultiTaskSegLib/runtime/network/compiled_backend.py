"""Back ends that compile the stages of a network; OpenVINO is the one there is."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.backend import Backend, FirstPart, SecondPart, TorchBackend
from MultiTaskSegLib.runtime.network.precision import FLOAT32, Precision

Part = Callable[..., Tensor]
# Compiles a module, given the channels of its inputs and the slices of context that the first has beyond the second.
Compile = Callable[[nn.Module, tuple[int, ...], int], Part]
OPENVINO = "openvino"
HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class CompiledBackend:
    """Runs the stages' two convolutions through compiled modules and everything else, which is little, in torch.

    Args:
        name: see `Backend`.
        plain: whose weights to use.
        compiled: compiles a module.
        precision: see `Backend`.
    """

    def __init__(self, name: str, plain: TorchBackend, compiled: Compile, precision: str = FLOAT32) -> None:
        self.name, self.device, self.precision = name, plain.device, precision
        self.plain: Backend | None = plain
        self.down, self.up, self.head, self.shortcut = plain.down, plain.up, plain.head, plain.shortcut
        self._first: dict[str, Part] = {}
        self._second: dict[str, Part] = {}
        self._radius = {stage: weights.first.padding[0] for stage, weights in plain.stages.items()}
        for stage, weights in plain.stages.items():
            channels_out, channels_in = weights.first.weight.shape[:2]
            self._first[stage] = compiled(FirstPart(weights.first).eval(), (channels_in,), 0)
            self._second[stage] = compiled(
                SecondPart(weights.second).eval(), (channels_out, channels_out), 2 * self._radius[stage]
            )

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """See `Backend`."""
        return self._first[stage](self._padded(stage, window, pad_z))

    def second(self, stage: str, window: Tensor, added: Tensor, pad_z: bool) -> Tensor:
        """See `Backend`."""
        return self._second[stage](self._padded(stage, window, pad_z), added)

    def _padded(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        radius = self._radius[stage]
        return nn.functional.pad(window, (0, 0, 0, 0, radius, radius)) if pad_z and radius else window


def openvino_backend(plain: TorchBackend, precision: Precision = FLOAT32) -> CompiledBackend:
    """Stages run by OpenVINO.

    Args:
        plain: whose weights to use.
        precision: that it is asked for; a processor without it computes in float32.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    openvino: Any = importlib.import_module("openvino")
    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }

    def compiled(module: nn.Module, channels: tuple[int, ...], context: int) -> Part:
        """Convert and compile now, for any number of voxels."""
        examples = tuple(torch.zeros((1, c, 8 - context * n, 8, 8)) for n, c in enumerate(channels))
        shapes = [openvino.PartialShape([1, c, -1, -1, -1]) for c in channels]
        model = core.compile_model(
            openvino.convert_model(module, example_input=examples, input=shapes), "CPU", settings
        )

        def run(*inputs: Tensor) -> Tensor:
            """Hand over arrays; the result is copied because the next call writes into the same memory."""
            arrays = [x.contiguous().numpy() for x in inputs]
            return torch.from_numpy(model(arrays)[0]).to(memory_format=torch.channels_last_3d, copy=True)

        return run

    name = OPENVINO if precision == FLOAT32 else f"{OPENVINO}-{precision}"
    return CompiledBackend(name, plain, compiled, precision)
