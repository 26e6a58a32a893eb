"""One engine on one image, in a process of its own: ``python -m Testing.bench.one_run REQUEST.json``.

The request names engine, model, task, voxels (.npy) and where to write the labels. One JSON line is printed: CPU
seconds of all threads, wall seconds, peak memory above the loaded model and image, and the CPU seconds that our engine
spends on what comes after the network's last map.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from Testing.bench.request import request_path

# Waiting threads must not be counted as work.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}


def cpu_seconds() -> float:
    """Of this process and of the children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def run(request: dict[str, Any]) -> dict[str, float]:
    """Load the model, run the engine, write its labels."""
    import torch

    from MultiTaskSegLib.runtime.labels.label_stream import LabelStream
    from MultiTaskSegLib.runtime.predictor import Predictor
    from Testing.bench.contender import ENGINES
    from Testing.bench.method_cost import method_cost
    from Testing.bench.process_memory import PeakMemory

    torch.set_num_threads(request["threads"])
    name = request["engine"]
    if name.startswith("monai"):
        import monai.inferers  # noqa: F401
    elif name == "nnunet":
        import nnunetv2.inference.predict_from_raw_data  # noqa: F401
    predictor = Predictor.load(request["model"], "cpu")
    predictor._network_pass()  # who computes is found out once per machine and model, not per run
    task = predictor.manifest.task(request["task"])
    voxels = np.load(request["voxels"])
    memory, started_s, cpu_s = PeakMemory(), time.perf_counter(), cpu_seconds()
    with method_cost(LabelStream, "push_logits") as labels_s:
        labels = ENGINES[name](predictor, task, voxels, tuple(request["patch"]))
    measured = {
        "cpu_s": cpu_seconds() - cpu_s,
        "wall_s": time.perf_counter() - started_s,
        "peak_mb": memory.above_start_mb(),
        "labels_s": sum(labels_s),
    }
    np.save(request["labels"], labels)
    return measured


def in_process_of_its_own(request: dict[str, Any], folder: Path) -> dict[str, float]:
    """Run a request in a fresh process.

    Raises:
        RuntimeError: it failed; the message is the end of its log.
    """
    path = folder / "request.json"
    path.write_text(json.dumps(request))
    environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": str(request["threads"])}
    command = [sys.executable, "-m", "Testing.bench.one_run", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{request['engine']} failed: {done.stderr.strip()[-800:]}")
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.loads(request_path(__doc__).read_text()))) + "\n")
