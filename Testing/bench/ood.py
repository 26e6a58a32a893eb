"""Cost of the out-of-distribution check: ``python -m Testing.bench.ood``.

Alone against a whole segmentation, and the shares of a segmentation that the spectra and the verdict take; the second
is mostly the statistics of the image itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.released import released_model
from MultiTaskSegLib.runtime.ood.spectrum import SpectrumCollector
from MultiTaskSegLib.runtime.prediction.candidate import Candidate
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.bench.labelled_image import synthetic_voxels
from Testing.bench.method_cost import method_cost
from Testing.bench.one_run import cpu_seconds
from trainer.report.origin import origin


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON; the exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    predictor = Predictor.load(released_model(planar=False), "cpu")
    task = predictor.manifest.tasks[0]
    shape: tuple[int, int, int] = tuple(options.volume)
    spacing = task.profile.spacing_zyx_mm or (1.0, 1.0, 1.0)
    volume = Volume(100 * synthetic_voxels(shape), np.diag([*spacing[::-1], 1.0]), "noise")
    rounds = [_round(predictor, task, volume) for _ in range(options.rounds)]
    found: dict[str, Any] = {
        **origin("python -m Testing.bench.ood", arguments, options.threads),
        "volume_zyx": options.volume,
        "rounds": rounds,
        "check_ratio": median(r["check_s"] / r["segment_s"] for r in rounds),
        "check_ratio_of_a_named_task": median(r["check_s"] / r["named_s"] for r in rounds),
        "spectra_share": median(r["spectra_s"] / r["named_s"] for r in rounds),
        "verdict_share": median(r["verdict_s"] / r["named_s"] for r in rounds),
    }
    sys.stdout.write("".join(f"{key} {value}\n" for key, value in found.items() if key != "machine"))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _round(predictor: Predictor, task: TaskInfo, volume: Volume) -> dict[str, float]:
    """CPU seconds of the check, of segmentations, and of the spectra alone."""
    used = {}
    for name, run in (
        ("check_s", lambda: predictor.check(volume)),
        ("segment_s", lambda: predictor.segment(volume)),
        ("named_s", lambda: predictor.segment(volume, task.name)),
    ):
        started_s = cpu_seconds()
        run()
        used[name] = cpu_seconds() - started_s
    spectra_s, verdict_s = _shares(predictor, volume)
    return {**used, "spectra_s": spectra_s, "verdict_s": verdict_s}


@torch.inference_mode()
def _shares(predictor: Predictor, volume: Volume) -> tuple[float, float]:
    """CPU seconds that the spectra take while the encoder passes by; and the image's own statistics and the verdict."""
    with (
        method_cost(SpectrumCollector, "_take") as taken_s,
        method_cost(SpectrumCollector, "spectra") as spectra_s,
        method_cost(Candidate, "judge") as verdict_s,
    ):
        predictor.check(volume)
    return sum(taken_s) + sum(spectra_s), sum(verdict_s)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.ood", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--volume", type=int, nargs=3, default=[160, 192, 192], metavar=("Z", "Y", "X"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser


if __name__ == "__main__":
    sys.exit(main())
