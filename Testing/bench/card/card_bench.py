"""What is measured on a card, part by part within a limit of time, and what is said of it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import Model, load_model
from MultiTaskSegLib.runtime.model.released import released_model
from MultiTaskSegLib.runtime.network.precision import FLOAT32, hardware_precisions
from Testing.bench.card.agreement import agreement
from Testing.bench.card.device_clock import timed
from Testing.bench.card.engines import ENGINES
from Testing.bench.card.training_step import nnunet_step, our_step
from Testing.bench.labelled_image import synthetic_voxels
from trainer.report.origin import origin

DONE, INCOMPLETE, NO_CARD = 0, 1, 3
LIMIT_S = 300.0
ROUNDS = 3
TRAINED_SHAPE = (36, 64, 48)


@dataclass
class Parts:
    """Parts of a measurement, one after the other; what fails is told and the next one begun.

    Attributes:
        limit_s: no part is begun later than this.
        found: what parts gave, by name.
        could_not: why others gave nothing, in words.
    """

    limit_s: float
    clock: Callable[[], float] = time.monotonic
    found: dict[str, Any] = field(default_factory=dict)
    could_not: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._started_s = self.clock()

    def take(self, name: str, work: Callable[[], Any]) -> Any:
        """What a part gives; None where it could not be done."""
        if self.clock() - self._started_s > self.limit_s:
            self.could_not[name] = f"the {self.limit_s:.0f} s were over before it began"
            return None
        sys.stderr.write(f"{name}\n")
        try:
            self.found[name] = work()
        except Exception as error:  # whatever a package or a driver raises: the others are measured all the same
            self.could_not[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return self.found.get(name)


def run_bench(kind: str, description: str, arguments: list[str] | None = None) -> int:
    """Measure a card of a kind (``cuda``, ``mps``), print, write JSON; the exit status."""
    options = _parser(kind, description).parse_args(arguments)
    if not _is_there(kind):
        sys.stderr.write(f"Testing.bench.{kind}: this computer has no {kind} device, so nothing was measured\n")
        return NO_CARD
    device = torch.device(kind)
    parts = Parts(options.limit_s)
    model = load_model(options.model or released_model(planar=False))
    precisions = [FLOAT32, *hardware_precisions(device)]
    measure(parts, model, device, precisions, tuple(options.volume))
    found = {
        **origin(f"python -m Testing.bench.{kind}", arguments),
        "device": device_facts(device),
        "model": {"name": model.manifest.name, "sha256": model.digest},
        "volume_zyx": options.volume,
        "limit_s": options.limit_s,
        "precisions": precisions,
        "found": parts.found,
        "could_not": parts.could_not,
    }
    sys.stdout.write(words(found) + "\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return DONE if is_complete(parts) else INCOMPLETE


def measure(
    parts: Parts, model: Model, device: torch.device, precisions: list[str], shape: tuple[int, int, int]
) -> None:
    """All parts, the most important first.

    Args:
        parts: takes them.
        model: that is run.
        device: the card.
        precisions: that it has.
        shape: ``(z, y, x)`` of the image.
    """
    task, voxels = model.manifest.tasks[0], synthetic_voxels(shape)
    spacing = task.profile.spacing_zyx_mm or (1.0, 1.0, 1.0)
    image = {"synthetic": Volume(voxels, np.diag([*spacing[::-1], 1.0]), "synthetic")}
    for precision in precisions:
        parts.take(f"agreement {precision}", lambda p=precision: agreement(model, device, p, image))
    for (name, engine), precision in product(ENGINES.items(), precisions):
        parts.take(
            f"inference {name} {precision}",
            lambda e=engine, p=precision: timed(_bound(e(model, task, device, p), voxels), device, ROUNDS),
        )
    for precision in [p for p in precisions if p != "float16"]:
        with tempfile.TemporaryDirectory() as folder:
            step = parts.take(
                f"training ours {precision}",
                lambda p=precision, f=folder: our_step(Path(f), device, p, TRAINED_SHAPE, ROUNDS),
            )
        if step is not None:
            parts.take(
                f"training nnunet {precision}",
                lambda p=precision, s=step: nnunet_step(device, p, s["patches"], s["patch_zyx"], ROUNDS),
            )


def is_complete(parts: Parts) -> bool:
    """Whether everything was measured and the card says what the processor says."""
    checks = [image for name, of in parts.found.items() if name.startswith("agreement") for image in of.values()]
    return not parts.could_not and all(image["agrees"] for image in checks)


def device_facts(device: torch.device) -> dict[str, Any]:
    """What a reader has to know of a card."""
    if device.type != "cuda":
        return {"kind": device.type}
    properties = torch.cuda.get_device_properties(device)
    return {
        "kind": "cuda",
        "name": properties.name,
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
    }


def words(found: Mapping[str, Any]) -> str:
    """For people."""
    lines = [f"{found['device'].get('name', found['device']['kind'])}, {found['volume_zyx']} voxels"]
    for name, result in found["found"].items():
        if "wall_s" in result:
            memory = "" if result["peak_mb"] is None else f", {result['peak_mb']:.0f} MB"
            lines.append(f"{name}: {result['wall_s']:.3f} s (first {result['first_s']:.2f} s){memory}")
            continue
        for image, own in result.items():
            verdict = "the same verdict" if own["same_task_and_verdict"] else "ANOTHER TASK OR VERDICT"
            lines.append(f"{name}, {image}: {own['labels_alike']:.6f} of the labels, {verdict}")
    return "\n".join([*lines, *(f"could not: {name}: {why}" for name, why in found["could_not"].items())])


def _bound(run: Callable[[np.ndarray], np.ndarray], voxels: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: run(voxels)


def _is_there(kind: str) -> bool:
    return torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available()


def _parser(kind: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m Testing.bench.{kind}", description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--volume", type=int, nargs=3, default=[160, 192, 192], metavar=("Z", "Y", "X"))
    parser.add_argument("--model", type=Path, help="model file; the released 3-D model by default")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="begin nothing later than this (default: 300)")
    return parser
