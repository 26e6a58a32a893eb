"""What nnU-Net's Python runs, from a copy beside the request: ``python program.py REQUEST.json``.

It plans, preprocesses, trains until its CPU seconds are spent, and predicts; plan, network, loss, optimiser,
augmentation and predictor are nnU-Net's own. It imports nothing of this project, because that Python may not have it.
Two things of the training differ from nnU-Net's habit: the learning rate falls with the share of the CPU seconds that
are spent, in place of the share of the epochs, so that its schedule ends where they do; and nothing is validated
meanwhile. Batches are drawn and augmented in this very process, so that all of it is counted.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.experiment_planning import plan_and_preprocess_api  # type: ignore[import-not-found]
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # type: ignore[import-not-found]
from nnunetv2.paths import nnUNet_preprocessed  # type: ignore[import-not-found]
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # type: ignore[import-not-found]

PLANS, AUGMENTERS = "nnUNetPlans", "nnUNet_n_proc_DA"
PARENT_IS_GONE = 3

Request = dict[str, Any]


def used_cpu_s() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def prepare(request: Request) -> None:
    """Fingerprint, plan and preprocess, and put the split in place."""
    # The planner takes this number for one of threads, and refuses 0.
    os.environ[AUGMENTERS] = "1"
    number, quiet = request["number"], {"verbose": False, "show_progress_bar": False}
    plan_and_preprocess_api.extract_fingerprint_dataset(number, num_processes=1, **quiet)
    plan_and_preprocess_api.plan_experiment_dataset(number, gpu_memory_target_in_gb=request["memory_gb"])
    plan_and_preprocess_api.preprocess_dataset(number, PLANS, (request["configuration"],), (1,), **quiet)
    _preprocessed(request).joinpath("splits_final.json").write_text(json.dumps([request["split"]]), encoding="utf-8")


def train(request: Request) -> tuple[Any, dict[str, Any]]:
    """A trainer whose network has been trained, and what that took."""
    # No processes beside this one: what they do would not be counted.
    os.environ[AUGMENTERS] = "0"
    torch.manual_seed(request["seed"])
    np.random.seed(request["seed"])  # noqa: NPY002  # nnU-Net draws its batches from numpy's global state
    folder = _preprocessed(request)
    plans = {**json.loads((folder / f"{PLANS}.json").read_text("utf-8")), "continue_training": False}
    description = json.loads((folder / "dataset.json").read_text("utf-8"))
    trainer = nnUNetTrainer(plans, request["configuration"], 0, description, torch.device("cpu"))
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    steps, started_s, budget_s = 0, used_cpu_s(), request["budget_cpu_s"]
    while steps == 0 or used_cpu_s() - started_s < budget_s:
        share = min(1.0, (used_cpu_s() - started_s) / budget_s)
        trainer.lr_scheduler.step(share * trainer.num_epochs)
        trainer.train_step(next(trainer.dataloader_train))
        steps += 1
    cpu_s = used_cpu_s() - started_s
    trainer.on_train_end()
    plan = trainer.configuration_manager
    facts = {"patch": [int(n) for n in plan.patch_size], "batch": int(plan.batch_size)}
    weights = sum(p.numel() for p in trainer.network.parameters())
    return trainer, {"steps": steps, "cpu_s": cpu_s, "weights": weights, **facts}


def predict(trainer: Any, request: Request) -> None:
    """Write the probabilities ``(1 + labels, Z, Y, X)`` of every image, on its own grid."""
    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    predictor = nnUNetPredictor(
        use_mirroring=request["mirror"],
        device=torch.device("cpu"),
        allow_tqdm=False,
        perform_everything_on_device=False,
    )
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    files = trainer.plans_manager.image_reader_writer_class()
    for name, path in request["images"].items():
        voxels, properties = files.read_images([path])
        _, probabilities = predictor.predict_single_npy_array(voxels, properties, None, None, True)
        np.save(Path(request["predictions"]) / f"{name}.npy", np.asarray(probabilities, dtype=np.float32))


def _preprocessed(request: Request) -> Path:
    return Path(nnUNet_preprocessed) / str(request["dataset"])


def _end_with_parent() -> None:
    """Whoever started this holds the other end of standard input, as long as it lives."""
    # Not by the stream itself: Python could not close it at the end while a thread reads.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(PARENT_IS_GONE)


def main(path: Path) -> None:
    """Do what a request asks for, and say what it took."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    request: Request = json.loads(path.read_text("utf-8"))
    if request["threads"]:
        torch.set_num_threads(request["threads"])
    started_s = used_cpu_s()
    prepare(request)
    prepared_s = used_cpu_s()
    trainer, facts = train(request)
    trained_s = used_cpu_s()
    predict(trainer, request)
    facts |= {"preparation_cpu_s": prepared_s - started_s, "prediction_cpu_s": used_cpu_s() - trained_s}
    part = Path(f"{request['told']}.part")
    part.write_text(json.dumps(facts), encoding="utf-8")
    part.replace(request["told"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
