"""State of the optimisation: network, averaged weights, optimiser; one step; learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import astuple
from typing import Any, cast
from weakref import ref

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from trainer.config import TrainingConfig
from trainer.data.patches import PatchGroup
from trainer.data.planning import Plan, TaskPlan
from trainer.distributed.ranks import ALONE, Ranks
from trainer.snapshot.cycle import cycle_count, place
from trainer.snapshot.member_store import Member, members_of
from trainer.training.calibration_loss import marginal_ace_loss, region_ace_loss
from trainer.training.loss import (
    absence_loss,
    coarse_labels,
    masks_of,
    region_loss,
    segmentation_loss,
    some_channels,
    split_by_task,
)
from trainer.training.recipe import PLAIN, Recipe
from trainer.training.two_slice_maps import guard_two_slice_maps
from trainer.training.weight_standardization import baked, initialize, standardize_weights, take_over


def learning_rate_factor(progress: float, step: int, warmup_steps: int, cycles: int = 1) -> float:
    """Linear warm-up by steps, then half a cosine in each cycle by the share of the run that is over (0 to 1)."""
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    return warmup * 0.5 * (1.0 + math.cos(math.pi * place(progress, cycles)[1]))


class Optimization:
    """Everything that changes while training, apart from time.

    Attributes:
        network: with standardised weights.
        auxiliary: heads on coarser decoder stages (deep supervision), dropped after training.
        step: optimiser steps done.
        cycles: of the learning rate; `cycle` is the number, from 0, of the one whose weights are averaged.
        members: networks of the cycles that are over.
    """

    def __init__(
        self,
        plan: Plan,
        config: TrainingConfig,
        device: torch.device,
        recipe: Recipe = PLAIN,
        ranks: Ranks = ALONE,
    ) -> None:
        self.plan, self.config, self.device, self.recipe, self.ranks = plan, config, device, recipe, ranks
        generator = torch.Generator().manual_seed(config.seed)
        network = SegmentationNetwork(plan.architecture)
        initialize(network, generator)
        standardize_weights(network)
        take_over(network, recipe.weights or {})
        guard_two_slice_maps(network)
        self.network = network.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.auxiliary = _auxiliary_heads(plan, config, generator).to(device)
        self.companion_heads = nn.ModuleDict({c.name: c.heads for c in recipe.companions}).to(device)
        self.average = AveragedModel(self.network, avg_fn=_ramped_average(config.ema_decay))
        self.optimizer = torch.optim.AdamW(
            _decay_groups(self._parameters(), config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.99)
        )
        losses = _GroupLosses(self)
        # Of several stems a step may take some only.
        self._losses = ranks.averaging(losses, some_unused=len(plan.architecture.stems) > 1)
        self.step = self.cycle = 0
        self.cycles = cycle_count(config)
        self.members: list[Member] = []

    def train_step(
        self, groups: Sequence[PatchGroup], progress: float, companion_batches: Sequence[Any] = ()
    ) -> dict[str, float]:
        """One optimiser step on patch groups and one batch of each companion.

        Of several processes each takes its own groups; the loss is the mean over the groups of all of them, however
        these are shared out.

        Returns:
            The weighted loss, the learning rate, the gradient norm, and the loss of each companion without its weight.

        Raises:
            ModelError: the loss or its gradient is not finite; nothing has been changed.
        """
        self.network.train()
        factor = learning_rate_factor(progress, self.step, self.config.warmup_steps, self.cycles)
        for parameter_group in self.optimizer.param_groups:
            parameter_group["lr"] = self.config.learning_rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        self._freeze(progress)
        total = self._group_losses(groups)
        beside = self._companion_losses(companion_batches, progress)
        total += beside.pop("total")
        if not math.isfinite(total):
            raise ModelError(
                f"the loss became {total} at step {self.step}", remedy="Lower learning_rate or use precision float32"
            )
        norm = float(nn.utils.clip_grad_norm_(self._parameters(), self.config.gradient_clip))
        if not math.isfinite(norm):
            raise ModelError(
                f"the gradient became {norm} at step {self.step}", remedy="Lower learning_rate or use precision float32"
            )
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return {"loss": total, "lr": self.config.learning_rate * factor, "gradient_norm": norm} | beside

    def _group_losses(self, groups: Sequence[PatchGroup]) -> float:
        """Add the gradients of the mean loss of all processes' groups; that loss."""
        count, total = self.ranks.total(len(groups)), 0.0
        for left, group in zip(reversed(range(len(groups))), groups, strict=True):
            # The gradients of all processes are averaged once, with those of the last group.
            with self.ranks.accumulating(self._losses) if left else nullcontext():
                loss = self._losses(group) / count
                # A mean over processes follows, where a sum is wanted.
                (loss * self.ranks.world_size).backward()
            total += float(loss.detach())
        return self.ranks.total(total)

    @property
    def _is_half(self) -> bool:
        return self.config.precision == "bfloat16"

    def loss(self, group: PatchGroup) -> Tensor:
        """Loss of one patch group: own task at several resolutions, other tasks' absence at the finest."""
        config, task = self.config, self.plan.tasks[group.task]
        images = group.images.to(self.device).contiguous(memory_format=torch.channels_last_3d)
        labels = group.labels.to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._is_half):
            maps = self.network.features(images, task.stem)
            parts = split_by_task(self.network.head(maps["decoder0"]), self.plan.tasks)
            coarse = {name: some_channels(head, maps[name], task.channels) for name, head in self.auxiliary.items()}
        loss = self._task_loss(task, parts[group.task], labels)
        weight, weights = 0.5, 1.0
        for name, logits in coarse.items():
            classes = _label_values(task) if task.are_regions else logits.shape[1]
            seen = coarse_labels(labels, self.plan.architecture.layer_stride(name), classes)
            loss = loss + weight * self._task_loss(task, logits, seen)
            weight, weights = weight / 2, weights + weight
        tasks = self.plan.tasks
        absent = [parts[index].float() for index in task.absent if not tasks[index].are_regions]
        regions = [parts[index].float() for index in task.absent if tasks[index].are_regions]
        own = parts[group.task].float()
        loss = loss / weights + config.absence_weight * absence_loss(absent, like=own, regions=regions)
        return loss + self._calibration_loss(task, own, labels) if config.calibration_weight else loss

    def _companion_losses(self, batches: Sequence[Any], progress: float) -> dict[str, float]:
        """Add the gradients of the companions' losses; the losses by name, and their weighted ``total``."""
        losses = {"total": 0.0}
        for companion, batch in zip(self.recipe.companions, batches, strict=True):
            weight = companion.weight(progress)
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._is_half):
                loss = companion.loss(self.network, batch, self.device)
            (weight * loss).backward()
            losses[companion.name] = float(loss.detach())
            losses["total"] += weight * losses[companion.name]
        return losses

    def _freeze(self, progress: float) -> None:
        """Hold parts of the network still; without a gradient the optimiser leaves them alone, decay included."""
        if self.recipe.frozen is None:
            return
        prefixes = self.recipe.frozen(progress)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not name.startswith(prefixes))

    def begin_cycle(self, number: int, member: Member) -> None:
        """Go on with another cycle, in whose average earlier weights have no part.

        With its usual decay the average would remember 500 steps: where cycles are not much longer, neighbouring
        members would in part be the same network.

        Args:
            number: of the cycle, from 0.
            member: what the one before has left.
        """
        self.cycle = number
        self.members.append(member)
        self.average.n_averaged.zero_()

    def averaged_network(self) -> SegmentationNetwork:
        """A plain network with the averaged weights."""
        return baked(cast(SegmentationNetwork, self.average.module))

    def state(self) -> dict[str, Any]:
        """Tensors and numbers for a checkpoint."""
        return {
            "step": self.step,
            "cycle": self.cycle,
            "members": [list(astuple(member)) for member in self.members],
            "network": self.network.state_dict(),
            "auxiliary": self.auxiliary.state_dict(),
            "companions": self.companion_heads.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint's state."""
        self.step = int(state["step"])
        # Checkpoints from before there were snapshots have none.
        self.cycle, self.members = int(state.get("cycle", 0)), members_of(state)
        self.network.load_state_dict(state["network"])
        self.auxiliary.load_state_dict(state["auxiliary"])
        # Checkpoints from before there were companions have none.
        self.companion_heads.load_state_dict(state.get("companions", {}))
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _task_loss(self, task: TaskPlan, logits: Tensor, labels: Tensor) -> Tensor:
        weights = {
            "cross_entropy_weight": self.config.cross_entropy_weight,
            "dice_weight": self.config.dice_weight,
        }
        if task.are_regions:
            return region_loss(logits.float(), masks_of(labels, task.label_values), **weights)
        return segmentation_loss(logits.float(), labels, **weights)

    def _calibration_loss(self, task: TaskPlan, logits: Tensor, labels: Tensor) -> Tensor:
        """At the finest resolution only: coarser probabilities are never shown to anyone."""
        bins, binning = self.config.calibration_bins, self.config.calibration_binning
        if task.are_regions:
            masks = masks_of(labels, task.label_values)
            return self.config.calibration_weight * region_ace_loss(logits, masks, bins, binning)
        return self.config.calibration_weight * marginal_ace_loss(logits, labels, bins, binning)

    def _parameters(self) -> list[nn.Parameter]:
        return [*self.network.parameters(), *self.auxiliary.parameters(), *self.companion_heads.parameters()]


class _GroupLosses(nn.Module):
    """The loss of a patch group as the forward pass of a module that holds all it needs, as averaging asks for."""

    def __init__(self, optimization: Optimization) -> None:
        super().__init__()
        self.network, self.auxiliary = optimization.network, optimization.auxiliary
        # Held both ways, weights and the optimiser's state would stay after a training, or a trial before it.
        self._optimization = ref(optimization)

    def forward(self, group: PatchGroup) -> Tensor:
        """Scalar."""
        optimization = self._optimization()
        assert optimization is not None
        return optimization.loss(group)


def _label_values(task: TaskPlan) -> int:
    """One more than the largest value of a label map."""
    return 1 + max(value for values in task.label_values for value in values)


def _auxiliary_heads(plan: Plan, config: TrainingConfig, generator: torch.Generator) -> nn.ModuleDict:
    if not config.deep_supervision:
        return nn.ModuleDict()
    channels = plan.architecture.channels
    levels = range(1, min(3, len(channels) - 1))
    heads = nn.ModuleDict({f"decoder{i}": nn.Conv3d(channels[i], plan.architecture.outputs, 1) for i in levels})
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.normal_(0.0, 0.05, generator=generator)
    return heads


def _decay_groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay only on kernels: gains and biases carry scales that must stay free."""
    kernels = [p for p in parameters if p.ndim == 5 and p[0].numel() > 1]
    others = [p for p in parameters if not (p.ndim == 5 and p[0].numel() > 1)]
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _ramped_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential moving average whose memory grows to ``decay``, so that short runs are averaged too."""

    def update(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        """The average after one more value."""
        n = int(count)
        return average.lerp(current, 1.0 - min(decay, (1 + n) / (10 + n)))

    return update
