"""The network that a configuration of nnU-Net's plans asks for, in the new and in the old format of plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from MultiTaskSegLib.runtime.nnunet.plan_value import PlanValues

PLAIN, RESIDUAL = "plain", "residual"
# Where the classes lived in different versions of dynamic_network_architectures.
NETWORKS = {
    "dynamic_network_architectures.architectures.unet.PlainConvUNet": PLAIN,
    "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet": RESIDUAL,
    "dynamic_network_architectures.architectures.residual_unet.ResidualEncoderUNet": RESIDUAL,
}
OLD_NETWORKS = {"PlainConvUNet": PLAIN, "ResidualEncoderUNet": RESIDUAL}
CONVOLUTIONS = {"torch.nn.modules.conv.Conv2d": 2, "torch.nn.modules.conv.Conv3d": 3}
NORMS = {
    "torch.nn.modules.instancenorm.InstanceNorm2d": 2,
    "torch.nn.modules.instancenorm.InstanceNorm3d": 3,
}
ACTIVATIONS = {"torch.nn.LeakyReLU": 0.01, "torch.nn.modules.activation.LeakyReLU": 0.01}
BLOCKS = {PLAIN: "n_conv_per_stage", RESIDUAL: "n_blocks_per_stage"}
SETTINGS = {
    "n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides", "n_conv_per_stage_decoder", "conv_bias",
    "norm_op", "norm_op_kwargs", "dropout_op", "dropout_op_kwargs", "nonlin", "nonlin_kwargs", "deep_supervision",
}  # fmt: skip
MAX_STAGES, MAX_FEATURES, MAX_BLOCKS, MAX_KERNEL, MAX_STRIDE = 10, 4096, 32, 15, 8
DEFAULT_EPS = 1e-5


@dataclass(frozen=True)
class UnetPlan:
    """Shape of an nnU-Net network (dynamic_network_architectures 0.2 to 0.4).

    Attributes:
        kind: ``plain`` (PlainConvUNet) or ``residual`` (ResidualEncoderUNet).
        features: channels per stage, finest first.
        kernels: per stage, each 2 or 3 odd numbers ``([z,] y, x)``.
        strides: per stage, each 2 or 3 numbers; of the first stage's first convolution or block, too.
        blocks: per stage of the encoder: convolutions (plain) or residual blocks.
        decoder_convolutions: per stage of the decoder, coarsest first.
        has_bias: whether convolutions have one; those of skips in residual blocks never do.
        norm_eps: added to the variance by instance normalisation.
        slope: of the leaky ReLU below 0.
    """

    kind: str
    features: tuple[int, ...]
    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    blocks: tuple[int, ...]
    decoder_convolutions: tuple[int, ...]
    has_bias: bool = True
    norm_eps: float = DEFAULT_EPS
    slope: float = 0.01

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return len(self.kernels[0])


def unet_plan(configuration: PlanValues, dimension: int) -> UnetPlan:
    """The network of a configuration.

    Args:
        configuration: with ``architecture``, or with the keys of the format before nnU-Net 2.4.
        dimension: of its patches.

    Raises:
        ModelError: it is another network, or has settings that are not supported.
    """
    if "architecture" not in configuration.values:
        return _checked(_old_plan(configuration, dimension), configuration)
    architecture = configuration.part("architecture")
    kind: str = architecture.choice("network_class_name", NETWORKS)
    values = architecture.part("arch_kwargs")
    values.require_known(SETTINGS | {BLOCKS[kind]})
    if values.choice("conv_op", CONVOLUTIONS) != dimension or values.choice("norm_op", NORMS) != dimension:
        raise values.refusal(f"is for other than the {dimension} dimensions of the patches")
    plan = UnetPlan(
        kind=kind,
        features=values.integers("features_per_stage", high=MAX_FEATURES),
        kernels=values.rows("kernel_sizes", dimension, high=MAX_KERNEL),
        strides=values.rows("strides", dimension, high=MAX_STRIDE),
        blocks=_per_stage(values, BLOCKS[kind], values.integer("n_stages", high=MAX_STAGES)),
        decoder_convolutions=_per_stage(values, "n_conv_per_stage_decoder", values.integer("n_stages") - 1),
        has_bias=values.flag("conv_bias", False),
        norm_eps=_norm_eps(values),
        slope=_slope(values),
    )
    return _checked(plan, values)


def _old_plan(configuration: PlanValues, dimension: int) -> UnetPlan:
    """nnU-Net before 2.4: features double from stage to stage, and everything else is fixed."""
    kind: str = configuration.choice("UNet_class_name", OLD_NETWORKS)
    blocks = configuration.integers("n_conv_per_stage_encoder", high=MAX_BLOCKS)
    base = configuration.integer("UNet_base_num_features", high=MAX_FEATURES)
    most = configuration.integer("unet_max_num_features", high=MAX_FEATURES)
    return UnetPlan(
        kind=kind,
        features=tuple(min(base * 2**stage, most) for stage in range(min(len(blocks), MAX_STAGES + 1))),
        kernels=configuration.rows("conv_kernel_sizes", dimension, high=MAX_KERNEL),
        strides=configuration.rows("pool_op_kernel_sizes", dimension, high=MAX_STRIDE),
        blocks=blocks,
        decoder_convolutions=configuration.integers("n_conv_per_stage_decoder", high=MAX_BLOCKS),
    )


def _checked(plan: UnetPlan, values: PlanValues) -> UnetPlan:
    stages = len(plan.features)
    lengths = (len(plan.kernels), len(plan.strides), len(plan.blocks), len(plan.decoder_convolutions) + 1)
    if not 2 <= stages <= MAX_STAGES or any(length != stages for length in lengths):
        raise values.refusal("has lists that do not agree on the number of stages")
    if any(size % 2 == 0 for kernel in plan.kernels for size in kernel):
        raise values.refusal("has even sizes of kernels")
    return plan


def _per_stage(values: PlanValues, key: str, stages: int) -> tuple[int, ...]:
    """A list of counts, or one count for all stages."""
    if isinstance(values.values.get(key), list):
        return values.integers(key, high=MAX_BLOCKS)
    return (values.integer(key, high=MAX_BLOCKS),) * stages


def _norm_eps(values: PlanValues) -> float:
    if values.values.get("norm_op_kwargs") is None:
        raise values.refusal("is missing: instance normalisation without weights is not supported", "norm_op_kwargs")
    settings = values.part("norm_op_kwargs")
    settings.require_known({"eps", "affine"})
    if not settings.flag("affine", False):
        raise settings.refusal("has no weights, which is not supported", "affine")
    eps = settings.number("eps") if "eps" in settings.values else DEFAULT_EPS
    if eps <= 0:
        raise settings.refusal("is not positive", "eps")
    return eps


def _slope(values: PlanValues) -> float:
    default: float = values.choice("nonlin", ACTIVATIONS)
    settings: Any = values.values.get("nonlin_kwargs") or {}
    table = PlanValues(settings, f"{values.where}.nonlin_kwargs", values.file)
    table.require_known({"inplace", "negative_slope"})
    return table.number("negative_slope") if "negative_slope" in table.values else default
