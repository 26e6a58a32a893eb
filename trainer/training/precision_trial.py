"""In which precision to train: a few steps in each tell, once, before a run begins."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TextIO

import torch

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.network.precision import hardware_precisions
from trainer.config import TrainingConfig
from trainer.data.case_cache import PreparedCase
from trainer.data.patches import PatchGroup, PatchGroups
from trainer.data.planning import Plan
from trainer.report.note import write_note
from trainer.training.batches import endless_batches
from trainer.training.optimization import Optimization
from trainer.training.recipe import Recipe

TrainedIn = Literal["float32", "bfloat16"]
AUTO = "auto"
VARIABLE = "MULTITASKSEG_TRAINED_IN"
FLOAT32: TrainedIn = "float32"
BFLOAT16: TrainedIn = "bfloat16"
TRAINED_IN: tuple[TrainedIn, ...] = (FLOAT32, BFLOAT16)
# So much of float32's time may bfloat16 take: where it saves less, the exact way is worth more.
LARGEST_SHARE = 0.8
TIMED_STEPS = 2
# Loss and gradient of the first step in bfloat16 differ by their rounding, not by a fifth: what oneDNN once did to maps
# of two slices changed the gradient by a third.
LARGEST_DIFFERENCE = 0.2


@dataclass(frozen=True)
class Trial:
    """A few steps in one precision.

    Attributes:
        step_s: seconds of the fastest one.
        loss, gradient_norm: of the first one.
    """

    step_s: float
    loss: float
    gradient_norm: float


def training_precision(
    plan: Plan,
    training: Sequence[Sequence[PreparedCase]],
    config: TrainingConfig,
    device: torch.device,
    recipe: Recipe,
    stream: TextIO | None = None,
) -> str:
    """``float32`` or ``bfloat16``: as the configuration says; where it says ``auto``, as the environment variable
    ``MULTITASKSEG_TRAINED_IN`` says, else by trial.

    What the trial does leaves no trace: networks, optimisers and draws are its own. On a device without instructions
    for bfloat16, and where a network is trained without labels, there is no trial and float32 is used.

    Args:
        plan, training, config, device, recipe: of the run.
        stream: where is said what was chosen; standard error by default.

    Raises:
        UsageError: the variable names no precision.
    """
    if config.precision != AUTO:
        return config.precision
    if named := os.environ.get(VARIABLE):
        if named not in TRAINED_IN:
            raise UsageError(f"{VARIABLE} is {named!r:.40}", remedy=f"Set it to {' or '.join(TRAINED_IN)}, or unset it")
        return named
    if BFLOAT16 not in hardware_precisions(device):
        return FLOAT32
    if not recipe.supervised:
        write_note("trained in float32: bfloat16 is tried for trainings with labels only; name it to have it", stream)
        return FLOAT32
    own = replace(config, workers=0)
    groups = endless_batches(PatchGroups(plan.tasks, training, own), 0, own.groups_per_step, own)
    batch = [next(groups) for _ in range(own.groups_per_step)]
    plain = replace(recipe, companions=())
    trials = {name: _tried(plan, replace(own, precision=name), device, plain, batch) for name in TRAINED_IN}
    # Torch loads parts of itself with the first optimiser of a process, whose weights would stay with what that left.
    gc.collect()
    chosen, reason = choice(trials[FLOAT32], trials[BFLOAT16])
    write_note(f"trained in {chosen}: {reason}", stream)
    return chosen


def precision_of_run(
    state: Mapping[str, Any] | None,
    plan: Plan,
    training: Sequence[Sequence[PreparedCase]],
    config: TrainingConfig,
    device: torch.device,
    recipe: Recipe,
    stream: TextIO | None = None,
) -> Any:
    """That of the run so far, wherever it goes on; else as configured, or by trial.

    Args:
        state: of the checkpoint; None: the run begins.
        plan, training, config, device, recipe, stream: see `training_precision`.

    Raises:
        ModelError: the checkpoint names another precision than these.
    """
    if state is None:
        return training_precision(plan, training, config, device, recipe, stream)
    found = state.get("precision", FLOAT32 if config.precision == AUTO else config.precision)
    if found not in TRAINED_IN:
        raise ModelError(f"the checkpoint's precision is {found!r:.40}", remedy="Start anew without --resume")
    named = os.environ.get(VARIABLE)
    if config.precision == AUTO and named and named != found:
        write_note(f"goes on in {found}, in which it began, and not in {named!r:.40} as {VARIABLE} says", stream)
    return found


def choice(exact: Trial | None, rounded: Trial | None) -> tuple[str, str]:
    """Which precision, and why.

    Args:
        exact: in float32; None where it failed.
        rounded: the same in bfloat16.

    >>> choice(Trial(1.7, 2.0, 1.0), Trial(0.95, 2.01, 1.02))
    ('bfloat16', 'a step takes 0.95 s in it, and 1.70 s in float32')
    """
    if exact is None or rounded is None:
        return FLOAT32, "bfloat16 could not be tried"
    pairs = ((rounded.loss, exact.loss), (rounded.gradient_norm, exact.gradient_norm))
    if not all(math.isclose(found, expected, rel_tol=LARGEST_DIFFERENCE) for found, expected in pairs):
        return FLOAT32, "loss or gradient in bfloat16 are not those of float32 on this computer"
    words = f"a step takes {rounded.step_s:.2f} s in {{}}, and {exact.step_s:.2f} s in float32"
    if rounded.step_s > LARGEST_SHARE * exact.step_s:
        return FLOAT32, words.format(BFLOAT16)
    return BFLOAT16, words.format("it")


def _tried(
    plan: Plan, config: TrainingConfig, device: torch.device, recipe: Recipe, batch: Sequence[PatchGroup]
) -> Trial | None:
    """A few steps with weights of their own; None where the first one gives no numbers or is not possible."""
    optimization = Optimization(plan, config, device, recipe)
    seconds: list[float] = []
    records: list[dict[str, Any]] = []
    try:
        for _ in range(1 + TIMED_STEPS):
            started_s = time.perf_counter()
            records.append(optimization.train_step(batch, 0.0))
            seconds.append(time.perf_counter() - started_s)
    except (ModelError, RuntimeError):
        # Whatever a library raises that lacks an operation; the run itself will say so where float32 fails, too.
        return None
    return Trial(min(seconds[1:]), float(records[0]["loss"]), float(records[0]["gradient_norm"]))
