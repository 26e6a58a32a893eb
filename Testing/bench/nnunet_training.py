"""nnU-Net v2's own trainer within a limit of CPU seconds: ``python -m Testing.bench.nnunet_training REQUEST.json``.

Its plan, preprocessing, network, loss, optimiser, augmentation and predictor are used as they are. Only what its
trainer class offers for it is changed: the number of epochs, so that its learning-rate schedule ends where the CPU
seconds do, the number of iterations per epoch, and the device. The clock runs while it trains (drawing batches
included) and stands while it validates, predicts and writes files.

The request: ``stage`` (``prepare`` or ``train``), ``dataset`` (folder), ``configuration``, ``memory_gb`` (of a graphics
card that batches are planned for; null: its default), ``budget_cpu_s``, ``threads``, ``shares`` (of the run at which
whole images are predicted), ``mirror`` (whether the predictor mirrors, its default), ``weights`` (folder for
checkpoints), ``seed``, ``output`` (JSON file; what is known so far stands in a file ``.partial`` beside it after every
checkpoint).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from Testing.bench.cpu_clock import CpuClock, used_cpu_s
from Testing.bench.held_out import default_split, mean_dice, nnunet_splits
from Testing.bench.process_memory import largest_mb
from Testing.bench.request import request_path, usage
from trainer.data.dataset import read_dataset
from trainer.layout.case import Case
from trainer.report.run_folder import write_json_file

try:
    from nnunetv2.experiment_planning import plan_and_preprocess_api
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.paths import nnUNet_preprocessed
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
except ModuleNotFoundError as error:
    raise SystemExit(f"{usage(__doc__)}\n{error}: it is measured only where it is installed") from error

PLANS = "nnUNetPlans"
EPOCHS = 40
WARM_UP_STEPS, TIMED_STEPS = 1, 4

Request = dict[str, Any]


class TimedTrainer(nnUNetTrainer):
    """nnU-Net's trainer with a clock and copies of its weights after chosen epochs."""

    clock: CpuClock
    weights: Path
    wanted_epochs: frozenset[int]
    saved: dict[int, dict[str, float]]

    def on_train_epoch_start(self) -> None:
        """Training goes on."""
        super().on_train_epoch_start()
        self.clock.start()

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """Training pauses."""
        self.clock.stop()
        super().on_train_epoch_end(train_outputs)

    def on_epoch_end(self) -> None:
        """Keep the weights where this was asked for."""
        done = self.current_epoch + 1
        super().on_epoch_end()
        if done in self.wanted_epochs:
            torch.save(self.network.state_dict(), self.weights / f"epoch{done}.pt")
            self.saved[done] = {"step": done * self.num_iterations_per_epoch, "cpu_s": self.clock.seconds}


def prepare(request: Request) -> dict[str, Any]:
    """Fingerprint, plan, preprocess; the split file. Returns CPU seconds."""
    started_s = used_cpu_s()
    dataset = read_dataset(Path(request["dataset"]))
    number = int(dataset.name[7:10])
    quiet = {"verbose": False, "show_progress_bar": False}
    plan_and_preprocess_api.extract_fingerprint_dataset(number, num_processes=1, **quiet)
    plan_and_preprocess_api.plan_experiment_dataset(number, gpu_memory_target_in_gb=request["memory_gb"])
    plan_and_preprocess_api.preprocess_dataset(number, PLANS, (request["configuration"],), (1,), **quiet)
    cpu_s = used_cpu_s() - started_s
    splits = json.dumps(nnunet_splits(default_split(dataset)))
    _preprocessed(request).joinpath("splits_final.json").write_text(splits, encoding="utf-8")
    return {"preparation_cpu_s": cpu_s}


def train(request: Request) -> dict[str, Any]:
    """Train within the limit, then measure the kept weights, the last ones first."""
    torch.set_num_threads(request["threads"])
    step_cpu_s = _step_cpu_s(request)
    steps = max(1, round(request["budget_cpu_s"] / step_cpu_s))
    iterations = max(1, round(steps / EPOCHS))
    epochs = max(1, round(steps / iterations))
    trainer = _trainer(request, epochs, iterations)
    trainer.run_training()
    plan = trainer.configuration_manager
    facts: dict[str, Any] = {
        "configuration": request["configuration"],
        "patch": [int(n) for n in plan.patch_size],
        "batch": int(plan.batch_size),
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "epochs": epochs,
        "iterations_per_epoch": iterations,
        "trial_step_cpu_s": step_cpu_s,
        "mirrored_prediction": request["mirror"],
        "peak_mb": largest_mb(),
        "points": [],
    }
    for epoch, at in sorted(trainer.saved.items(), reverse=True):
        trainer.network.load_state_dict(torch.load(trainer.weights / f"epoch{epoch}.pt", weights_only=True))
        facts["points"].append({**at, "dice": _validation_dice(trainer, request)})
        write_json_file(Path(request["output"]).with_suffix(".partial"), facts)
    return facts


def _trainer(request: Request, epochs: int, iterations: int) -> TimedTrainer:
    torch.manual_seed(request["seed"])
    np.random.seed(request["seed"])  # noqa: NPY002  # nnU-Net draws its batches from numpy's global state
    folder = _preprocessed(request)
    plans = {**json.loads((folder / f"{PLANS}.json").read_text("utf-8")), "continue_training": False}
    description = json.loads((folder / "dataset.json").read_text("utf-8"))
    trainer = TimedTrainer(plans, request["configuration"], 0, description, torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = epochs, iterations, 1
    trainer.disable_checkpointing = True
    trainer.clock, trainer.saved = CpuClock(), {}
    trainer.wanted_epochs = frozenset(max(1, round(share * epochs)) for share in request["shares"])
    trainer.weights = Path(request["weights"])
    trainer.weights.mkdir(parents=True, exist_ok=True)
    return trainer


def _step_cpu_s(request: Request) -> float:
    """CPU seconds of a step, drawing its batch included, from a trial whose network is thrown away."""
    trainer = _trainer(request, 1, 1)
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    for number in range(WARM_UP_STEPS + TIMED_STEPS):
        if number == WARM_UP_STEPS:
            trainer.clock = CpuClock()
            trainer.clock.start()
        trainer.train_step(next(trainer.dataloader_train))
    return trainer.clock.seconds / TIMED_STEPS


def _validation_dice(trainer: TimedTrainer, request: Request) -> float:
    """Mean Dice of whole held-out images, predicted as nnU-Net's final validation does it."""
    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    predictor = nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=request["mirror"], device=trainer.device, allow_tqdm=False
    )
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        None,
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    dataset = read_dataset(Path(request["dataset"]))
    split = default_split(dataset)
    preprocessed = trainer.dataset_class(trainer.preprocessed_dataset_folder, [case.name for case in split.held_out])

    def segment(case: Case) -> np.ndarray:
        """Labels of a case on its own grid."""
        data, _, _, properties = preprocessed.load_case(case.name)
        logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(np.asarray(data[:])))
        found: np.ndarray = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits.cpu(),
            trainer.plans_manager,
            trainer.configuration_manager,
            trainer.label_manager,
            properties,
            num_threads_torch=request["threads"],
        )
        return found

    result = mean_dice(split.held_out, tuple(dataset.labels), segment)
    trainer.set_deep_supervision_enabled(True)
    return result


def _preprocessed(request: Request) -> Path:
    return Path(nnUNet_preprocessed) / Path(request["dataset"]).name


def main(path: Path) -> int:
    """Do what a request asks for; the exit code."""
    request: Request = json.loads(path.read_text("utf-8"))
    found = {"prepare": prepare, "train": train}[request["stage"]](request)
    write_json_file(Path(request["output"]), found)
    return 0


if __name__ == "__main__":
    sys.exit(main(request_path(__doc__)))
