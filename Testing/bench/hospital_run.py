"""Images one after the other with one model, in a process of its own: ``python -m Testing.bench.hospital_run FILE``.

The request names the model, the shape of the images, how many, after which of them to tell, and the threads. One JSON
line is printed: seconds of loading, and for each image that is told of its CPU seconds and the process's peak memory so
far above the loaded model.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from Testing.bench.labelled_image import synthetic_voxels
from Testing.bench.one_run import cpu_seconds
from Testing.bench.request import request_path


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Load the model and segment the images with ``auto``; each is another one."""
    import torch

    from MultiTaskSegLib.runtime.image.volume import Volume
    from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
    from MultiTaskSegLib.runtime.predictor import Predictor
    from Testing.bench.process_memory import PeakMemory

    torch.set_num_threads(request["threads"])
    started_s = time.perf_counter()
    predictor = Predictor.load(request["model"], "cpu", "torch")
    load_s = time.perf_counter() - started_s
    voxels, memory = synthetic_voxels(tuple(request["shape_zyx"])), PeakMemory()
    told = []
    for number in range(1, request["frames"] + 1):
        volume = Volume(voxels + np.float32(number), np.eye(4), f"frame {number}")
        begun_s = cpu_seconds()
        predictor.segment(volume)
        own_s = cpu_seconds() - begun_s
        release_freed_memory()
        if number in request["told_at"]:
            told.append({"frame": number, "cpu_s": own_s, "peak_mb": memory.above_start_mb()})
    return {"shape_zyx": list(request["shape_zyx"]), "load_s": load_s, "told": told}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.loads(request_path(__doc__).read_text()))) + "\n")
