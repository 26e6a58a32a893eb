"""A training step on a card: ours, and nnU-Net's network with its optimiser, on patches of one size."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from MultiTaskSegLib.runtime.network.precision import DTYPES, FLOAT32
from Testing.bench.banded_dataset import write_banded_dataset
from Testing.bench.card.device_clock import timed
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.patches import PatchGroup, PatchGroups
from trainer.report.run_folder import MODEL_SUFFIX, RunFolder
from trainer.training.optimization import Optimization
from trainer.training.training import prepare_data

CLASSES = 5
# Of nnU-Net's plans for images of this kind.
FEATURES = (32, 64, 128, 256, 320)


def our_step(folder: Path, device: torch.device, precision: str, shape: tuple[int, int, int], rounds: int) -> Any:
    """Times of our step with all defaults: drawing patches is left out, as for the other."""
    config = TrainingConfig(precision="bfloat16" if precision == "bfloat16" else "float32", workers=0)
    with (folder / "progress.txt").open("w", encoding="utf-8") as log:
        source = read_dataset(write_banded_dataset(folder, 1, CLASSES - 1, shape))
        data = prepare_data([source], config, RunFolder(folder / f"bench{MODEL_SUFFIX}"), log)
    groups = PatchGroups(data.plan.tasks, data.training, config)
    batch: list[PatchGroup] = [groups[number] for number in range(config.groups_per_step)]
    optimization = Optimization(data.plan, config, device)
    images = sum(len(group.images) for group in batch)
    patch = list(batch[0].images.shape[2:])
    return {**timed(lambda: optimization.train_step(batch, 0.0), device, rounds), "patches": images, "patch_zyx": patch}


def nnunet_step(device: torch.device, precision: str, patches: int, patch_zyx: list[int], rounds: int) -> Any:
    """The same of nnU-Net's plain network, stochastic gradient descent and autocast, on as many patches as large.

    Raises:
        ModuleNotFoundError: nnU-Net is not installed.
    """
    if importlib.util.find_spec("dynamic_network_architectures") is None:
        raise ModuleNotFoundError("nnunetv2 is not installed, whose network is needed for its training step")
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    levels = len(FEATURES)
    strides = [[1, 1, 1]] + [[2 if n >= 2 ** (level + 1) else 1 for n in patch_zyx] for level in range(1, levels)]
    kernels = [[3, 3, 3]] * levels
    network = PlainConvUNet(
        1, levels, FEATURES, nn.Conv3d, kernels, strides, [2] * levels, CLASSES, [2] * (levels - 1), conv_bias=True,
        norm_op=nn.InstanceNorm3d, norm_op_kwargs={"affine": True}, nonlin=nn.LeakyReLU,
    ).to(device)  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    total = [-(-n // 16) * 16 for n in patch_zyx]
    images = torch.randn((patches, 1, *total), generator=generator).to(device)
    labels = torch.randint(CLASSES, (patches, *total), generator=generator).to(device)
    return timed(_step(network, images, labels, device, precision), device, rounds)


def _step(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor, device: torch.device, precision: str
) -> Callable[[], None]:
    optimizer = torch.optim.SGD(network.parameters(), 1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5)

    def step() -> None:
        """Forward, cross-entropy, backward, and the optimiser."""
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, DTYPES[precision], enabled=precision != FLOAT32):
            loss = nn.functional.cross_entropy(network(images).float(), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimizer.step()

    return step
