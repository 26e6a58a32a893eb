"""The commands ``transfer`` and ``recommend``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from trainer.cli_environment import tell

EXECUTORS = ("sequential", "processes", "ray")
EXIT_INCOMPLETE = 4


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's sub-commands."""
    _add_transfer(commands)
    _add_recommend(commands)


def add_executor_options(parser: argparse.ArgumentParser) -> None:
    """Options that say where the runs of a matrix are done, for `executor_of`."""
    parser.add_argument("--executor", default="sequential", choices=EXECUTORS, help="where the runs are done")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, with 'processes'")
    parser.add_argument("--address", help="of a Ray cluster; without it Ray uses this machine")


def executor_of(options: argparse.Namespace) -> Any:
    """The executor that the options ask for.

    Raises:
        UsageError: Ray is not installed, or the options contradict each other.
        ResourceError: there is no cluster at the address.
    """
    from trainer.experiment.executor import make_executor

    return make_executor(options.executor, options.jobs, options.address)


def _add_transfer(commands: Any) -> None:
    transfer = commands.add_parser("transfer", help="pre-train on every source, fine-tune on every target, compare")
    transfer.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML or YAML; see docs")
    transfer.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    transfer.add_argument("--data-root", type=Path, metavar="DIR", help="instead of the file's data_root")
    transfer.add_argument("--publish", type=Path, metavar="DIR", help="also a dated JSON file and a page")
    add_executor_options(transfer)
    transfer.set_defaults(command=_transfer)


def _add_recommend(commands: Any) -> None:
    recommend = commands.add_parser("recommend", help="rank models to start from for a target, without training")
    recommend.add_argument("--data", type=Path, required=True, metavar="TARGET", help="dataset or folder of images")
    recommend.add_argument("--models", type=Path, nargs="+", required=True, metavar="MODEL", help="files or folders")
    recommend.add_argument("--images", type=int, default=24, help="of the target, at most (default 24)")
    recommend.add_argument("-o", "--output", type=Path, metavar="OUT", help="also recommendation.json and report.html")
    recommend.set_defaults(command=_recommend)


def _transfer(options: argparse.Namespace) -> int:
    from trainer.training.run_lock import held
    from trainer.transfer.experiment import run_transfer
    from trainer.transfer.publication import publish, require_title
    from trainer.transfer.settings import read_transfer
    from trainer.transfer.wording import claim_sentence, trouble_sentences

    plan = read_transfer(options.config, options.data_root)
    if options.publish:
        require_title(options.publish, plan.settings.title)
    with held(options.output, "this experiment"):
        result = run_transfer(plan, options.output, executor_of(options), _say, options.words)
    for target in result["targets"]:
        tell(claim_sentence(target))
    for sentence in trouble_sentences(result):
        _say(sentence)
    tell(f"report: {options.output / 'report.html'}")
    if options.publish:
        for path in publish(result, options.publish):
            tell(f"published: {path}")
    return EXIT_INCOMPLETE if result["failures"] else 0


def _recommend(options: argparse.Namespace) -> int:
    from trainer.recommendation.ranking import ranking_table, recommend, write_recommendation

    found = recommend(options.data, options.models, images=options.images)
    for row in ranking_table(found)[1]:
        figures = [] if row[2] is None else [f"log effective rank {row[2]:.3f}; spectral nearness {row[3]:.3f}"]
        tell(f"{row[0]}: {'; '.join([*figures, *([str(row[5])] if row[5] else [])])}")
    if options.output:
        write_recommendation(found, options.data, options.output)
        tell(f"report: {options.output / 'report.html'}")
    return 0 if any(not r.trouble for r in found) else EXIT_INCOMPLETE


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
