"""Our trainer within a limit of CPU seconds: ``python -m Testing.bench.own_training REQUEST.json``.

The trainer, its loop, loader and default settings are used as they are. The number of steps is chosen so that the
learning-rate schedule ends where the CPU seconds do. The clock runs while it trains (setting up the network and drawing
batches in other processes included) and stands while weights are copied for validation afterwards.

The request: ``datasets`` (folders), ``budget_cpu_s`` or ``steps``, ``shares`` (of the run at which whole images are
segmented; empty: none), ``settings`` (of `TrainingConfig`, where they differ from the defaults), ``folder`` (of the
run), ``output`` (JSON file; what is known so far stands in a file ``.partial`` beside it after every checkpoint).
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.resampling import resample_linear
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from Testing.bench.cpu_clock import CpuClock, used_cpu_s
from Testing.bench.held_out import mean_dice
from Testing.bench.process_memory import largest_mb
from Testing.bench.request import request_path
from trainer.config import TrainingConfig, config_from_dict
from trainer.data.dataset import read_dataset
from trainer.data.planning import TaskPlan
from trainer.layout.case import Case
from trainer.report.run_folder import RunFolder, write_json_file
from trainer.tiled.task_logits import task_logits
from trainer.training.optimization import Optimization
from trainer.training.training import Budget, PreparedData, StepTime, prepare_data, train

WARM_UP_STEPS, TIMED_STEPS = 3, 12
CPU = torch.device("cpu")

Request = dict[str, Any]
Weights = dict[str, torch.Tensor]


class Observer:
    """Keeps times of all steps, and the averaged weights after chosen ones.

    Args:
        clock: of the run; it is started and stopped here.
        wanted_steps: after which steps to copy the weights.
    """

    def __init__(self, clock: CpuClock, wanted_steps: frozenset[int] = frozenset()) -> None:
        self.clock, self.wanted_steps = clock, wanted_steps
        self.cpu_s: list[float] = []
        self.times: list[StepTime] = []
        self.kept: list[tuple[dict[str, float], Weights]] = []
        self.digest = ""

    def __call__(self, optimization: Optimization, time: StepTime) -> None:
        """Note a step."""
        self.times.append(time)
        self.cpu_s.append(self.clock.seconds)
        if optimization.step in self.wanted_steps:
            with self.clock.stopped():
                at = {"step": optimization.step, "cpu_s": self.cpu_s[-1]}
                self.kept.append((at, optimization.averaged_network().state_dict()))

    def step_cpu_s(self) -> float:
        """Mean CPU seconds of the steps after the warm-up."""
        return (self.cpu_s[-1] - self.cpu_s[WARM_UP_STEPS - 1]) / (len(self.cpu_s) - WARM_UP_STEPS)

    def summary(self) -> dict[str, float]:
        """Means over the steps after the warm-up."""
        steady = self.times[WARM_UP_STEPS:]
        total_s = sum(time.total_s for time in steady)
        return {
            "step_cpu_s": self.step_cpu_s(),
            "step_wall_s": total_s / len(steady),
            "median_step_wall_s": median(time.total_s for time in steady),
            "loader_wait_share": sum(time.waited_s for time in steady) / total_s,
        }


def run(request: Request) -> dict[str, Any]:
    """Prepare, train and measure the kept weights, the last ones first."""
    config = config_from_dict({"validations": 0, "validation_cases": 0, **request["settings"]})
    started_s = used_cpu_s()
    folder = RunFolder(Path(request["folder"]) / "model.mts.safetensors")
    data = prepare_data([read_dataset(Path(d)) for d in request["datasets"]], config, folder, io.StringIO())
    preparation_cpu_s = used_cpu_s() - started_s
    steps = request.get("steps") or _affordable_steps(data, config, folder, request["budget_cpu_s"])
    observer = observed(data, config, folder, steps, request["shares"])
    facts: dict[str, Any] = {
        "preparation_cpu_s": preparation_cpu_s,
        "settings": request["settings"],
        "patches": {task.name: list(task.patch_zyx) for task in data.plan.tasks},
        "patches_per_step": config.groups_per_step * config.patches_per_group,
        "outputs": data.plan.architecture.outputs,
        "steps": steps,
        "peak_mb": largest_mb(),
        "weights_sha256": observer.digest,
        **observer.summary(),
        "points": [],
    }
    network = SegmentationNetwork(data.plan.architecture)
    facts["parameters"] = sum(p.numel() for p in network.parameters())
    for at, weights in reversed(observer.kept):
        network.load_state_dict(weights)
        facts["points"].append({**at, "dice": validation_dice(network.eval(), data)})
        write_json_file(Path(request["output"]).with_suffix(".partial"), facts)
    return facts


def observed(
    data: PreparedData, config: TrainingConfig, folder: RunFolder, steps: int, shares: list[float]
) -> Observer:
    """Train so many steps from the start and return what was noted."""
    observer = Observer(CpuClock(), frozenset(max(1, round(share * steps)) for share in shares))
    observer.clock.start()
    trained = train(
        data, config, Budget(steps=steps), folder, resume=False, device=CPU, stream=io.StringIO(), watch=observer
    )
    observer.digest = weights_digest(trained.averaged_network().state_dict())
    return observer


def weights_digest(weights: Weights) -> str:
    """SHA-256 over all weights: equal for two runs whose weights are equal to the bit."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(weights[name].cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _affordable_steps(data: PreparedData, config: TrainingConfig, folder: RunFolder, budget_cpu_s: float) -> int:
    """Steps that fit into the budget, from a trial whose network is thrown away."""
    trial = observed(data, config, folder, WARM_UP_STEPS + TIMED_STEPS, [])
    return max(1, round((budget_cpu_s - trial.cpu_s[WARM_UP_STEPS - 1]) / trial.step_cpu_s()))


def validation_dice(network: SegmentationNetwork, data: PreparedData) -> float:
    """Mean Dice of whole held-out images of the first task on their own grids, in float32, in one pass."""
    task, cases = data.plan.tasks[0], data.held_out[0]
    values = tuple(value for of_label in task.label_values for value in of_label)
    return mean_dice([case.case for case in cases], values, lambda case: segment(network, task, case))


def segment(network: SegmentationNetwork, task: TaskPlan, case: Case) -> np.ndarray:
    """Label values ``(Z, Y, X)`` on the case's own grid: as the runtime does it, without spectra and uncertainty."""
    prepared = prepare(case.read_image(), task.profile)
    logits = task_logits(network, prepared.voxels, task, device=CPU)
    shares = np.stack([resample_linear(part, prepared.canonical_shape) for part in _softmax(logits)])
    values = np.array([0, *(value for of_label in task.label_values for value in of_label)], dtype=np.uint8)
    restored: np.ndarray = prepared.restore(values[shares.argmax(axis=0)])
    return restored


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares: np.ndarray = torch.softmax(torch.from_numpy(logits), dim=0).numpy()
    return shares


def main(path: Path) -> int:
    """Do what a request asks for; the exit code."""
    request: Request = json.loads(path.read_text("utf-8"))
    write_json_file(Path(request["output"]), run(request))
    return 0


if __name__ == "__main__":
    sys.exit(main(request_path(__doc__)))
