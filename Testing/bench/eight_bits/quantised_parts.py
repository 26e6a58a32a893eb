"""Parts of a network that OpenVINO computes: in 8 bits, as NNCF makes them, or in floating point."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.network.backend import FirstPart, SecondPart, TorchBackend
from MultiTaskSegLib.runtime.network.convolution import Convolution, fixed_convolution
from MultiTaskSegLib.runtime.network.quiet_openvino import quiet_openvino
from Testing.bench.contender import MissingPackage
from Testing.bench.eight_bits.ladder import HEAD
from Testing.bench.eight_bits.mixed_backend import Inputs, Part

PACKAGES = ("openvino", "nncf")
EXAMPLE = (1, 8, 8)
CHANNELS_FIRST, CHANNELS_LAST = "NCDHW", "NDHWC"


def require_packages() -> None:
    """Make sure that parts can be made.

    Raises:
        MissingPackage: with the package's name and what to do.
    """
    for package in PACKAGES:
        if find_spec(package) is None:
            raise MissingPackage(
                f"the package '{package}' is not installed, which makes 8 bits of a network: 'pip install {package}' "
                "(NNCF 3.4 was measured; this measurement alone needs it, so a virtual environment of its own will do)"
            )


def part_modules(network: SegmentationNetwork, plain: TorchBackend, heads: Sequence[slice]) -> dict[str, nn.Module]:
    """Every part as a module that never pads along z.

    Args:
        network: whose.
        plain: its weights.
        heads: channels of each task; their parts are ``head`` and the first channel.
    """
    found: dict[str, nn.Module] = {}
    for stage, weights in plain.stages.items():
        found[f"{stage}.first"] = FirstPart(weights.first)
        found[f"{stage}.second"] = SecondPart(weights.second)
        found[f"{stage}.shortcut"] = _module(weights.shortcut)
    for level, (down, up) in enumerate(zip(plain.down_steps, plain.up_steps, strict=True)):
        found[f"down{level}"], found[f"up{level}"] = _module(down), _module(up)
    head = fixed_convolution(network.head, plain.device)
    for channels in heads:
        own = Convolution(head.weight[channels], head.bias[channels], head.stride, head.padding)
        found[f"{HEAD}{channels.start}"] = _module(own)
    return {name: module.eval() for name, module in found.items()}


class PartCompiler:
    """Makes and compiles parts; graphs in 8 bits are kept in a folder and used again.

    Args:
        folder: for the graphs, of this model and these calibration images alone.
        threads: that compute.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self._openvino: Any = quiet_openvino()
        self._core = self._openvino.Core()
        self._folder, self._threads = folder, threads

    def floating(self, modules: Mapping[str, nn.Module], hint: str) -> dict[str, Part]:
        """Parts as they are, computed in ``f32`` or ``bf16``."""
        return {name: self._compiled(self._converted(module), hint) for name, module in modules.items()}

    def eight_bits(self, modules: Mapping[str, nn.Module], seen: Mapping[str, Sequence[Inputs]]) -> dict[str, Part]:
        """Parts in 8 bits; what is left in them in floating point is computed in float32.

        Args:
            modules: see `part_modules`.
            seen: inputs from which NNCF learns the ranges of values, by part; all heads are given the same.

        Raises:
            ResourceError: NNCF has left a part in floating point.
        """
        found = {}
        for name, module in modules.items():
            path = self._folder / f"{name}.xml"
            if not path.exists():
                graph = self._quantised(self._converted(module), seen[HEAD if name.startswith(HEAD) else name])
                if not any(node.get_type_name() == "FakeQuantize" for node in graph.get_ops()):
                    raise ResourceError(f"NNCF has left {name} in floating point", remedy="Use NNCF 3.4")
                self._save(graph, path)
            found[name] = self._compiled(self._core.read_model(path), "f32")
        return found

    def _save(self, graph: Any, path: Path) -> None:
        """The text last: whoever finds it finds the weights, too."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"partial-{path.name}")
        self._openvino.save_model(graph, partial, compress_to_fp16=False)
        partial.with_suffix(".bin").replace(path.with_suffix(".bin"))
        partial.replace(path)

    def _converted(self, module: nn.Module) -> Any:
        convolution = next(own for own in module.modules() if isinstance(own, nn.Conv3d))
        slices = convolution.kernel_size[0] + 3
        inputs = [(convolution.in_channels, slices)]
        if isinstance(module, SecondPart):
            inputs.append((convolution.out_channels, slices - convolution.kernel_size[0] + 1))
        examples = tuple(torch.zeros(1, channels, z, *EXAMPLE[1:]) for channels, z in inputs)
        shapes = [self._openvino.PartialShape([1, channels, -1, -1, -1]) for channels, _ in inputs]
        with torch.no_grad():
            return self._openvino.convert_model(module, example_input=examples, input=shapes)

    def _quantised(self, graph: Any, samples: Sequence[Inputs]) -> Any:
        nncf: Any = importlib.import_module("nncf")
        nncf.set_log_level(logging.ERROR)
        settings = nncf.AdvancedQuantizationParameters(
            # Without VNNI the sums of products overflow, for which NNCF gives up a bit of each graph's first layer.
            overflow_fix=nncf.OverflowFix.DISABLE,
        )
        data = nncf.Dataset([list(inputs) for inputs in samples])
        return nncf.quantize(
            graph,
            data,
            subset_size=len(samples),
            preset=nncf.QuantizationPreset.MIXED,  # activations are not symmetric: most are above zero
            advanced_parameters=settings,
        )

    def _compiled(self, graph: Any, hint: str) -> Part:
        """Maps come and go with the channels last, as the engine holds them, so that nothing is copied on the way."""
        process: Any = self._openvino.preprocess.PrePostProcessor(graph)
        layout = self._openvino.Layout
        for number in range(len(graph.inputs)):
            process.input(number).tensor().set_layout(layout(CHANNELS_LAST))
            process.input(number).model().set_layout(layout(CHANNELS_FIRST))
        process.output(0).model().set_layout(layout(CHANNELS_FIRST))
        process.output(0).tensor().set_layout(layout(CHANNELS_LAST))
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._threads,
        }
        model = self._core.compile_model(process.build(), "CPU", settings)

        def run(*inputs: Tensor) -> Tensor:
            """The result is copied because the next call writes into the same memory."""
            found = model([_channels_last(x) for x in inputs], share_outputs=True)[0]
            return torch.from_numpy(found).permute(0, 4, 1, 2, 3).clone(memory_format=torch.preserve_format)

        return run


def _channels_last(x: Tensor) -> Any:
    return x.permute(0, 2, 3, 4, 1).contiguous().numpy()


def _module(convolution: Convolution) -> nn.Conv3d:
    channels_out, channels_in, z, y, x = convolution.weight.shape
    padding = (0, *convolution.padding[1:])
    module = nn.Conv3d(channels_in, channels_out, (z, y, x), convolution.stride, padding)
    module.weight = nn.Parameter(convolution.weight, requires_grad=False)
    module.bias = nn.Parameter(convolution.bias, requires_grad=False)
    return module
