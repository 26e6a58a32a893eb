"""The command ``experiment failure-detection``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trainer.cli_environment import tell

KINDS = ("bias_field", "ghosting", "spikes", "motion")


def add_experiment(names: Any) -> None:
    """Add the experiment to the parser's named ones."""
    failure = names.add_parser("failure-detection", help="does a confidence tell that a segmentation is bad?")
    failure.add_argument(
        "-m", "--model", type=Path, nargs="+", required=True, help="the first is measured; an ensemble"
    )
    failure.add_argument(
        "--snapshots", type=Path, nargs="+", default=(), metavar="MODEL", help="of the training of the one measured"
    )
    failure.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="of the model's tasks")
    failure.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    failure.add_argument("--kinds", nargs="*", default=KINDS, metavar="KIND", help="of artefacts, see ood-benchmark")
    failure.add_argument("--passes", type=int, default=0, help="of Monte Carlo dropout (default 0: left out)")
    failure.add_argument("--looks", action="store_true", help="also the further looks of the thorough check")
    failure.add_argument("--seed", type=int, default=0, help="of dropout and bootstrap (default 0)")
    failure.add_argument("--publish", type=Path, metavar="DIR", help="also a dated JSON file and a page")
    failure.add_argument("--title", default="Failure detection", help="of what is measured")
    failure.set_defaults(command=_failure_detection)


def _failure_detection(options: argparse.Namespace) -> int:
    from trainer.failure.experiment import FailureOptions, run_failure_detection
    from trainer.failure.wording import ordered, row_name
    from trainer.training.run_lock import held

    wanted = FailureOptions(
        tuple(options.model),
        tuple(options.data),
        tuple(options.kinds),
        options.passes,
        options.looks,
        options.seed,
        title=options.title,
        snapshots=tuple(options.snapshots),
    )
    with held(options.output, "this experiment"):
        metrics = run_failure_detection(wanted, options.output, options.words)
    means = metrics["means"]
    for name in ordered(means):
        aurc, gain = (means[name][figure]["value"] for figure in ("aurc", "n_aurc"))
        told = "" if gain != gain else f", nAURC {gain:.2f}"
        tell(f"{row_name(means, name)}: AURC {100 * aurc:.1f}{told}")
    tell(f"report: {options.output / 'report.html'}")
    if options.publish:
        from trainer.failure.publication import publish

        for path in publish(metrics, options.publish):
            tell(f"published: {path}")
    return 0
