"""nnU-Net's two networks, PlainConvUNet and ResidualEncoderUNet, built from `UnetPlan` alone.

Isensee et al., nnU-Net (Nature Methods 2021) and nnU-Net Revisited (MICCAI 2024). Attributes are named so that the
weights of a checkpoint fit by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor, nn

from MultiTaskSegLib.runtime.nnunet.lean_layer import Finer, convolved, instance_normalised
from MultiTaskSegLib.runtime.nnunet.unet_plan import PLAIN, UnetPlan

Layer = Callable[..., nn.Module]
CONVOLUTION: Mapping[int, Layer] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: Mapping[int, Layer] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM: Mapping[int, Layer] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
POOLING: Mapping[int, Layer] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


class ConvolutionBlock(nn.Module):
    """Convolution, instance normalisation and, where wanted, leaky ReLU."""

    def __init__(
        self,
        plan: UnetPlan,
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        *,
        has_bias: bool | None = None,
        is_activated: bool = True,
    ) -> None:
        super().__init__()
        has_bias = plan.has_bias if has_bias is None else has_bias
        padding = tuple((size - 1) // 2 for size in kernel)
        convolution = CONVOLUTION[plan.dimension]
        self.conv = convolution(inputs, outputs, tuple(kernel), tuple(stride), padding, bias=has_bias)
        self.norm = NORM[plan.dimension](outputs, eps=plan.norm_eps, affine=True)
        self._slope = plan.slope if is_activated else None

    def forward(self, maps: list[Tensor], finer: list[Finer] | None = None) -> Tensor:
        """One map ``(B, C, [Z,] Y, X)`` beside a finer one, both used up, to ``(B, outputs, ...)``."""
        return instance_normalised(convolved(self.conv, maps, finer or []), self.norm, self._slope)


def _in_a_row(
    block: Layer, plan: UnetPlan, count: int, inputs: int, outputs: int, kernel: Sequence[int], stride: Sequence[int]
) -> nn.ModuleList:
    """Blocks in a row: the first takes the inputs and has the stride."""
    ones = (1,) * plan.dimension
    return nn.ModuleList(
        [
            block(plan, inputs, outputs, kernel, stride),
            *(block(plan, outputs, outputs, kernel, ones) for _ in range(count - 1)),
        ]
    )


def _through(blocks: Iterable[nn.Module], maps: list[Tensor]) -> Tensor:
    """Maps, which are used up, through one block after the other."""
    for block in blocks:
        maps = [block(maps)]
    return maps.pop()


class ConvolutionStack(nn.Module):
    """Convolution blocks in a row, of which the first may have a stride."""

    def __init__(
        self, plan: UnetPlan, count: int, inputs: int, outputs: int, kernel: Sequence[int], stride: Sequence[int]
    ) -> None:
        super().__init__()
        self.convs = _in_a_row(ConvolutionBlock, plan, count, inputs, outputs, kernel, stride)

    def forward(self, maps: list[Tensor], finer: list[Finer] | None = None) -> Tensor:
        """One map ``(B, C, [Z,] Y, X)`` beside a finer one, both used up, to ``(B, outputs, ...)``."""
        first, *others = self.convs
        return _through(others, [first(maps, finer)])


class ResidualBlock(nn.Module):
    """Two convolutions and a way around them: average pooling where there is a stride, a projection where needed."""

    def __init__(self, plan: UnetPlan, inputs: int, outputs: int, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        ones = (1,) * plan.dimension
        self.conv1 = ConvolutionBlock(plan, inputs, outputs, kernel, stride)
        self.conv2 = ConvolutionBlock(plan, outputs, outputs, kernel, ones, is_activated=False)
        way: list[nn.Module] = []
        if any(step != 1 for step in stride):
            way.append(POOLING[plan.dimension](tuple(stride), tuple(stride)))
        if inputs != outputs:
            way.append(ConvolutionBlock(plan, inputs, outputs, ones, ones, has_bias=False, is_activated=False))
        self.skip = nn.ModuleList(way)
        self.nonlin = nn.LeakyReLU(plan.slope, inplace=True)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """One map ``(B, inputs, [Z,] Y, X)``, which is used up, to ``(B, outputs, ...)``."""
        around = maps[0]
        for part in self.skip:
            around = part([around]) if isinstance(part, ConvolutionBlock) else part(around)
        activated: Tensor = self.nonlin(self.conv2([self.conv1(maps)]).add_(around))
        return activated


class ResidualStack(nn.Module):
    """Residual blocks in a row, of which the first may have a stride."""

    def __init__(
        self, plan: UnetPlan, count: int, inputs: int, outputs: int, kernel: Sequence[int], stride: Sequence[int]
    ) -> None:
        super().__init__()
        self.blocks = _in_a_row(ResidualBlock, plan, count, inputs, outputs, kernel, stride)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """One map ``(B, inputs, [Z,] Y, X)``, which is used up, to ``(B, outputs, ...)``."""
        return _through(self.blocks, maps)


class Encoder(nn.Module):
    """From the image to maps of every stage, finest first."""

    def __init__(self, plan: UnetPlan, channels: int) -> None:
        super().__init__()
        ones = (1,) * plan.dimension
        is_plain = plan.kind == PLAIN
        stem = None if is_plain else ConvolutionStack(plan, 1, channels, plan.features[0], plan.kernels[0], ones)
        self.stem = stem
        stack = ConvolutionStack if is_plain else ResidualStack
        before = (channels if is_plain else plan.features[0], *plan.features)
        self.stages = nn.ModuleList(
            stack(plan, count, inputs, outputs, kernel, stride)
            for count, inputs, outputs, kernel, stride in zip(
                plan.blocks, before[:-1], plan.features, plan.kernels, plan.strides, strict=True
            )
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """``(B, C, [Z,] Y, X)`` to one map per stage."""
        low = [image] if self.stem is None else [self.stem([image])]
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(low))
            low = [maps[-1]]
        return maps


class Decoder(nn.Module):
    """From the maps of the stages to scores of the classes."""

    def __init__(self, plan: UnetPlan, outputs: int) -> None:
        super().__init__()
        ones = (1,) * plan.dimension
        transposed, convolution = TRANSPOSED[plan.dimension], CONVOLUTION[plan.dimension]
        self.transpconvs, self.stages = nn.ModuleList(), nn.ModuleList()
        for count, level in zip(plan.decoder_convolutions, range(len(plan.features) - 1, 0, -1), strict=True):
            below, here, step = plan.features[level], plan.features[level - 1], plan.strides[level]
            self.transpconvs.append(transposed(below, here, step, step, bias=plan.has_bias))
            self.stages.append(ConvolutionStack(plan, count, 2 * here, here, plan.kernels[level - 1], ones))
        # Of the outputs of deep supervision only the finest is used.
        self.seg_layer = convolution(plan.features[0], outputs, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps of the stages, finest first, which are used up, to ``(B, outputs, [Z,] Y, X)``."""
        low = maps.pop()
        for up, stage in zip(self.transpconvs, self.stages, strict=True):
            finer = [Finer(up, low)]
            del low  # which the convolution needs no longer than its input
            low = stage([maps.pop()], finer)
        return convolved(self.seg_layer, [low], [])


class Unet(nn.Module):
    """One fold's network.

    Args:
        plan: its shape.
        channels: of the image.
        outputs: scores per voxel.
    """

    def __init__(self, plan: UnetPlan, channels: int, outputs: int) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(plan, channels), Decoder(plan, outputs)

    def forward(self, image: Tensor) -> Tensor:
        """``(B, C, [Z,] Y, X)`` to scores ``(B, outputs, [Z,] Y, X)``."""
        scores: Tensor = self.decoder(self.encoder(image))
        return scores
