"""The published training: Adam on one patch per step, and a learning rate that follows the validations."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np
import torch

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError
from trainer.config import TrainingConfig
from trainer.data.case_cache import PreparedCase
from trainer.data.patches import sampling_shares
from trainer.metrics.overlap import dice, mean_defined
from trainer.paper_network.dense_network import DenseNetwork, initialize
from trainer.paper_network.learning_rate import LearningRate
from trainer.paper_network.loss import foreground_dice_loss
from trainer.paper_network.patches import Patches
from trainer.paper_network.settings import PaperSettings
from trainer.paper_network.windows import averaged
from trainer.report.run_folder import RunFolder
from trainer.training.checkpoint import load_checkpoint, save_checkpoint
from trainer.training.recipe import Recipe
from trainer.training.run_identity import run_identity
from trainer.training.training import CHECKPOINT_INTERVAL_S, LOG_EVERY_STEPS, PreparedData


class PaperTraining:
    """Everything that changes while the published network is trained.

    Args:
        data: plan with one shared foreground, and cases.
        config: seed, threads, and how many cases of a dataset a validation looks at.
        settings: of the network and its training.
        device: where to compute.

    Raises:
        DatasetError: a dataset has images of several channels.
        UsageError: the channels do not double from level to level.

    Attributes:
        network: on the device.
        step: optimiser steps done.
        learning_rate: that the next step uses.
    """

    def __init__(
        self, data: PreparedData, config: TrainingConfig, settings: PaperSettings, device: torch.device
    ) -> None:
        for task in data.plan.tasks:
            if len(task.dataset.inputs) > 1:
                raise DatasetError(
                    f"dataset {task.name} has images of several channels, and the published network takes one",
                    file=task.dataset.directory,
                    remedy="Leave the dataset out, or the arms with network = 'paper'",
                )
        self.data, self.config, self.settings, self.device = data, config, settings, device
        self.network = DenseNetwork(data.plan.architecture, settings.dropout)
        initialize(self.network, config.seed)
        self.network.to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.learning_rate = LearningRate(settings.learning_rate, settings.learning_rate_decay, settings.least_gain)
        self.step, self.elapsed_s = 0, 0.0
        names, counts = [task.name for task in data.plan.tasks], [len(cases) for cases in data.training]
        shares = sampling_shares(names, counts, config)
        self._patches = Patches(data.training, data.plan.architecture, settings, shares, config.seed)
        recipe = Recipe(identity={"published network": dataclasses.asdict(settings)})
        self._identity = run_identity(data.plan, data.sides, config, recipe)

    def run(self, steps: int, folder: RunFolder) -> None:
        """Train up to a number of steps, from where an earlier call in the folder has ended; to the bit alike.

        Args:
            steps: of the optimiser, in all.
            folder: for checkpoint and log.

        Raises:
            ModelError: the loss is not finite, or the checkpoint is of another run.
            ResourceError: a file cannot be read or written.
        """
        if self.config.threads:
            torch.set_num_threads(self.config.threads)
        if folder.checkpoint.is_file():
            self._restore(load_checkpoint(folder.checkpoint, self._identity, self.device))
        folder.truncate_after(self.step)
        saved_s, losses = time.monotonic(), list[float]()
        begun_s = saved_s - self.elapsed_s
        while self.step < steps:
            losses.append(self.train_step())
            self.elapsed_s = time.monotonic() - begun_s
            if self.step % LOG_EVERY_STEPS == 0 or self.step == steps:
                mean = sum(losses) / len(losses)
                stamp = {"step": self.step, "elapsed_s": round(self.elapsed_s, 3)}
                folder.append(stamp | {"loss": mean, "lr": self.learning_rate.rate})
                losses.clear()
            if self.step % self.settings.validation_interval == 0:
                found = self.validation_dice()
                self.learning_rate.validated(found)
                folder.append({"step": self.step, "dice": found, "lr": self.learning_rate.rate})
            if time.monotonic() - saved_s > CHECKPOINT_INTERVAL_S:
                save_checkpoint(folder.checkpoint, self._state(), self._identity)
                saved_s = time.monotonic()
        save_checkpoint(folder.checkpoint, self._state(), self._identity)

    def train_step(self) -> float:
        """One step of the optimiser on one patch; its loss.

        Raises:
            ModelError: the loss is not finite; nothing has been changed.
        """
        image, labels = (part.to(self.device) for part in self._patches.patch(self.step))
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate.rate
        self.optimizer.zero_grad(set_to_none=True)
        # What is dropped follows from the step's number, so that a resumed run drops the same.
        seed = int(np.random.SeedSequence([self.config.seed, self.step]).generate_state(1)[0])
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            loss = foreground_dice_loss(self.network(image), labels)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(
                f"the loss of the published network became {value} at step {self.step}",
                remedy="Lower learning_rate in the table 'paper'",
            )
        loss.backward()
        self.optimizer.step()
        self.step += 1
        return value

    def validation_dice(self) -> float:
        """Mean Dice of the foreground over held-out cases, the first of each dataset, on the network's grid."""
        shown = [case for cases in self.data.held_out for case in cases[: self.config.validation_cases]]
        return mean_defined([self._dice(case) for case in shown])

    def _dice(self, case: PreparedCase) -> float:
        shares, _ = averaged(self.network, case.network_input(), self.settings, self.device)
        return dice(shares[1] > shares[0], np.asarray(case.labels) > 0)

    def _state(self) -> dict[str, Any]:
        rule = self.learning_rate
        return {
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "learning_rate": [rule.rate, rule.previous],
        }

    def _restore(self, state: dict[str, Any]) -> None:
        # Checkpoints from before steps were timed do not say how long they took.
        self.step, self.elapsed_s = int(state["step"]), float(state.get("elapsed_s", 0.0))
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.learning_rate.rate, self.learning_rate.previous = state["learning_rate"]
