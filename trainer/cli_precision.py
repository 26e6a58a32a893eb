"""The command ``precision``, which measures what lower precisions cost a model and writes it into the file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.network.precision import LOWER_PRECISIONS
from trainer.cli_environment import require_model_place, require_not_released, tell


def add_commands(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    words = "measure a model in 16 bits beside float32, and permit what costs nothing"
    precision = commands.add_parser("precision", help=words)
    precision.add_argument("-m", "--model", type=Path, required=True)
    precision.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    words = "folders of foreign images; datasets in --data that are none of the model's tasks are foreign, too"
    precision.add_argument("--foreign", type=Path, nargs="*", default=(), metavar="DIR", help=words)
    precision.add_argument("-o", "--output", type=Path, metavar="MODEL", help="default: replace the model file")
    words = "default: those that this computer has instructions for; others are slow"
    precision.add_argument("--precision", nargs="*", default=(), choices=LOWER_PRECISIONS, help=words)
    words = "held-out cases per task that are spoilt by every artefact (default: 1)"
    precision.add_argument("--artefact-cases", type=int, default=1, metavar="N", help=words)
    precision.set_defaults(command=_precision)


def _precision(options: argparse.Namespace) -> int:
    from trainer.precision.measured_precision import measure_precisions

    if options.output is None:
        require_not_released(options.model)
    else:
        require_model_place(options.output)
    target: Path = options.output or options.model
    wanted = {"foreign": options.foreign, "precisions": options.precision, "artefact_cases": options.artefact_cases}
    block = measure_precisions(options.model, options.data, target, **wanted).precision
    assert block is not None
    for figures in block.measured:
        said = f"left out, because {figures.shortfall}" if figures.shortfall else "permitted"
        tell(
            f"{figures.precision}: {said}. Mean Dice "
            + ", ".join(
                f"{task} {own:.4f} (float32 {figures.dice_float32[task]:.4f})" for task, own in figures.dice.items()
            )
            + f"; {figures.differing_verdicts} of {figures.images} verdicts differ; AUROC {figures.auroc:.4f} "
            f"(float32 {figures.auroc_float32:.4f})"
        )
    tell(f"model: {target}")
    return 0
