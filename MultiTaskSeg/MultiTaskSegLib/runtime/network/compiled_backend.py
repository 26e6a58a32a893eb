"""Back ends that compile the stages of a network; OpenVINO is the one there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.backend import Backend, FirstPart, SecondPart, TorchBackend
from MultiTaskSegLib.runtime.network.precision import FLOAT32, Precision
from MultiTaskSegLib.runtime.network.quiet_openvino import OPENVINO, quiet_openvino

Part = Callable[..., Tensor]
# Compiles a module, given the channels of its inputs and the slices of context that the first has beyond the second.
Compile = Callable[[nn.Module, tuple[int, ...], int], Part]
# Slabs of an image have few shapes; what is prepared for those of earlier images only takes memory.
CACHED_SHAPES = 32
CHANNELS_FIRST, CHANNELS_LAST = "NCDHW", "NDHWC"
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
        ImportError: see `quiet_openvino`.
    """
    openvino = quiet_openvino()
    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "CPU_RUNTIME_CACHE_CAPACITY": CACHED_SHAPES,
    }

    def compiled(module: nn.Module, channels: tuple[int, ...], context: int) -> Part:
        """Convert and compile now, for any number of voxels."""
        examples = tuple(torch.zeros((1, c, 8 - context * n, 8, 8)) for n, c in enumerate(channels))
        shapes = [openvino.PartialShape([1, c, -1, -1, -1]) for c in channels]
        graph = openvino.convert_model(module, example_input=examples, input=shapes)
        model = core.compile_model(_with_channels_last(openvino, graph), "CPU", settings)
        release = getattr(model, "release_memory", _keep)  # earlier versions cannot give anything back

        def run(*inputs: Tensor) -> Tensor:
            """The result is copied, because what it lies in is given back with everything else that the call took:
            every part would hold its own until the next call otherwise."""
            found = model([_channels_last(x) for x in inputs], share_outputs=True)[0]
            result = torch.from_numpy(found).permute(0, 4, 1, 2, 3).clone(memory_format=torch.preserve_format)
            del found
            release()
            return result

        return run

    name = OPENVINO if precision == FLOAT32 else f"{OPENVINO}-{precision}"
    return CompiledBackend(name, plain, compiled, precision)


def _with_channels_last(openvino: Any, graph: Any) -> Any:
    """The same graph for maps as the engine holds them, so that nothing is copied on their way in and out."""
    process, layout = openvino.preprocess.PrePostProcessor(graph), openvino.Layout
    for number in range(len(graph.inputs)):
        process.input(number).tensor().set_layout(layout(CHANNELS_LAST))
        process.input(number).model().set_layout(layout(CHANNELS_FIRST))
    process.output(0).model().set_layout(layout(CHANNELS_FIRST))
    process.output(0).tensor().set_layout(layout(CHANNELS_LAST))
    return process.build()


def _keep() -> None:
    """What is held stays until the next call."""


def _channels_last(x: Tensor) -> Any:
    return x.permute(0, 2, 3, 4, 1).contiguous().numpy()
