"""A loss that becomes no number in a random step: the training stops at once and nothing of it is kept."""

from __future__ import annotations

import random
from unittest import mock

import torch

from MultiTaskSegLib.runtime.errors import ModelError
from Testing.hostile.campaign.training_run import KINDS, STEPS, prepared, run
from Testing.hostile.campaign.trial import Broken, Ground, ListedTrial, require
from trainer.report.run_folder import RunFolder
from trainer.training import training
from trainer.training.optimization import Optimization

VALUES = {"NaN": float("nan"), "infinite": float("inf")}
REPEATS = 5


def attempt(case: str, ground: Ground) -> None:
    """``KIND, VALUE #SEED``."""
    kind, _, rest = case.partition(", ")
    value, _, seed = rest.partition(" #")
    bad_step = random.Random(int(seed)).randrange(1, STEPS)
    folder = RunFolder(ground.folder / "model.mts.safetensors")
    data, plain = prepared(ground), Optimization.loss
    lost: list[int] = []

    def loss(self: Optimization, group: object) -> torch.Tensor:
        """No number in one step."""
        found = plain(self, group)  # type: ignore[arg-type]
        lost.append(self.step)
        return found * VALUES[value] if self.step == bad_step else found

    with (
        mock.patch.object(training, "CHECKPOINT_INTERVAL_S", -1.0),
        mock.patch.object(Optimization, "loss", loss),
    ):
        try:
            run(kind, data, folder, ground)
        except ModelError as stopped:
            require(f"at step {bad_step}" in str(stopped), f"says {stopped}")
        else:
            raise Broken("the training went on")
    require(lost[-1] == bad_step, f"went on until step {lost[-1]}, not {bad_step}")
    require(not list(ground.folder.glob("*.safetensors")), "a model file was written")
    kept = torch.load(folder.checkpoint, weights_only=True)
    require(kept["step"] == bad_step, f"the checkpoint is of step {kept['step']}")
    tensors = [leaf for leaf in torch.utils._pytree.tree_leaves(kept) if isinstance(leaf, torch.Tensor)]
    require(all(bool(torch.isfinite(tensor).all()) for tensor in tensors), "the checkpoint has weights of no number")


LOSS = ListedTrial(
    "loss",
    f"a loss that becomes NaN or infinite in a random step of {len(KINDS)} kinds of training",
    "stops in that step and names it; the last checkpoint is of the step before, finite; no model file",
    tuple(f"{kind}, {value} #{seed}" for kind in KINDS for value in VALUES for seed in range(REPEATS)),
    attempt,
)
