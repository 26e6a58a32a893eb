"""Cost of a training patch by the size of the case it is cut from: ``python -m Testing.bench.patch_cost``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from safetensors.numpy import save_file

from trainer.data.augmentation import Augmentation, apply_augmentation, draw_augmentation
from trainer.data.stored_array import StoredArray
from trainer.report.origin import origin

PATCH = (32, 64, 64)
STRAIGHT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m Testing.bench.patch_cost")
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128, 256, 384], help="voxels along each axis")
    parser.add_argument("--patches", type=int, default=40, help="drawn for each size")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [_cost(side, options.patches, Path(folder)) for side in options.sides]
    for row in rows:
        sys.stdout.write(" ".join(f"{key} {value:.4g}" for key, value in row.items()) + "\n")
    if options.json:
        found = {**origin("python -m Testing.bench.patch_cost", arguments, 1), "patch_zyx": PATCH, "rows": rows}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _cost(side: int, patches: int, folder: Path) -> dict[str, float]:
    """CPU milliseconds of a patch without and with drawn changes, of a prepared case on disk."""
    shape = (side, side, side)
    rng = np.random.default_rng(side)
    voxels, path = rng.random(shape, dtype=np.float32).astype(np.float16), folder / f"{side}.safetensors"
    save_file({"voxels": voxels, "labels": (voxels > 0.5).astype(np.uint8)}, path)
    arrays = [StoredArray(path, name, shape) for name in ("voxels", "labels")]
    centre = (side / 2, side / 2, side / 2)
    records = [draw_augmentation(rng, centre, (1.0, 1.0, 1.0), PATCH, planar=False) for _ in range(patches)]
    plain = [Augmentation(centre, STRAIGHT)] * patches
    used_ms = []
    for chosen in (plain, records):
        apply_augmentation(chosen[0], *arrays, PATCH)
        times = []
        for record in chosen:
            started_s = time.process_time()
            apply_augmentation(record, *arrays, PATCH)
            times.append(1e3 * (time.process_time() - started_s))
        used_ms.append(median(times))
    return {"million_voxels": voxels.size / 1e6, "cut_ms": used_ms[0], "augmented_ms": used_ms[1]}


if __name__ == "__main__":
    sys.exit(main())
