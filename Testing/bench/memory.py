"""Memory of runs against what was told beforehand, and runs under limits: ``python -m Testing.bench.memory --json F``.

The first table compares the peak of each run beyond the loaded model with the estimate that planned it
(`Testing.runtime.memory_probe`); the second one runs the command line in control groups of 1, 2 and 4 GB, where it must
end with a result or with a word, and never be killed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.sitk_image import to_sitk
from MultiTaskSegLib.worker_process import worker_environment
from Testing.bench.memory_limit import run_limited
from Testing.runtime.memory_probe import smooth_noise
from trainer.report.origin import origin

TASK = "Dataset101_HippocampusT1"
# Z Y X, spacing in mm, purpose.
RUNS = (
    "96 160 160 1 auto",
    "160 192 192 1 auto",
    f"160 192 192 1 {TASK}",
    "160 192 192 1 check",
    "160 192 192 1 locate",
    f"300 512 512 0.8 {TASK}",
    "300 512 512 0.8 auto",
    "300 512 512 0.8 check",
    "300 512 512 0.8 locate",
    "1 2000 2000 0.5 auto",
    "1 4000 4000 0.5 auto",
)

IMAGES = {"head": ((176, 256, 256), 1.0), "body": ((300, 512, 512), 0.8), "picture": ((1, 4000, 4000), 0.1)}
LIMITS_GB = (1, 2, 4)
COMMANDS = {"segment": ("segment", "{image}", "-o", "{out}"), "check --map": ("check", "{image}", "--map", "{out}")}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    found: dict[str, Any] = {
        **origin("python -m Testing.bench.memory", None, 1),
        "runs": list(_runs()),
        "limits": list(_limits()),
    }
    options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _runs() -> Iterator[dict[str, Any]]:
    for run in RUNS:
        command = [sys.executable, "-m", "Testing.runtime.memory_probe", *run.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=worker_environment())
        peak, estimate = (int(number) / 1e6 for number in done.stdout.split())
        z, y, x, spacing_mm, purpose = run.split()
        row = {"shape_zyx": [int(z), int(y), int(x)], "spacing_mm": float(spacing_mm), "purpose": purpose}
        yield _told({**row, "peak_mb": round(peak), "estimate_mb": round(estimate)})


def _limits() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        for image, (shape, spacing_mm) in IMAGES.items():
            path = Path(name) / f"{image}.nii.gz"
            volume = smooth_noise(shape, spacing_mm)
            sitk.WriteImage(to_sitk(volume.voxels, volume), str(path), useCompression=True, compressionLevel=1)
            for title, pattern in COMMANDS.items():
                for limit_gb in LIMITS_GB:
                    places = {"image": str(path), "out": str(Path(name) / f"{image}-{title}-{limit_gb}")}
                    arguments = [part.format(**places) for part in pattern]
                    command = [sys.executable, "-m", "MultiTaskSegLib.runtime.cli", *arguments]
                    done = run_limited(command, limit_gb * 10**9, worker_environment())
                    row = {"image": image, "shape_zyx": list(shape), "command": title, "limit_gb": limit_gb}
                    last = done.last_line.replace(f"{name}/", "")
                    ended = {"exit_code": done.exit_code, "peak_mb": round(done.peak_bytes / 1e6), "last_line": last}
                    yield _told({**row, **ended})


def _told(row: dict[str, Any]) -> dict[str, Any]:
    sys.stdout.write(f"{json.dumps(row)}\n")
    sys.stdout.flush()
    return row


if __name__ == "__main__":
    main()
