"""The commands ``pretrain``, ``finetune`` and ``two-stage``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from trainer.cli_environment import require_not_released, tell
from trainer.cli_experiments import add_executor_options, executor_of

SOURCE_TASKS = ("segmentation", "classification", "self-supervised")
STRATEGIES = ("all", "frozen-encoder", "last-layers", "gradual")
DEFAULT_MINUTES = 60.0


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's sub-commands."""
    _add_pretrain(commands)
    _add_finetune(commands)
    _add_two_stage(commands)


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="dataset folders")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL", help="NAME.mts.safetensors")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML or YAML; see docs/pretraining.md")
    parser.add_argument("--steps", type=int, help="optimiser steps (repeatable to the bit)")
    parser.add_argument("--minutes", type=float, help=f"wall time of the training itself (default {DEFAULT_MINUTES:g})")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the run folder")


def _add_pretrain(commands: Any) -> None:
    pretrain = commands.add_parser("pretrain", help="train a network to start other trainings from")
    pretrain.add_argument("--task", required=True, choices=SOURCE_TASKS, help="what it is trained on")
    pretrain.add_argument("--pretexts", nargs="+", default=(), metavar="NAME", help="of self-supervised (default: all)")
    _add_training_options(pretrain)
    pretrain.set_defaults(command=_pretrain)


def _add_finetune(commands: Any) -> None:
    finetune = commands.add_parser("finetune", help="train on from a model file")
    finetune.add_argument("-m", "--model", type=Path, required=True, help="model file to start from")
    finetune.add_argument("--strategy", default="all", choices=STRATEGIES, help="which weights are trained")
    finetune.add_argument("--scope", default="all", choices=("all", "encoder"), help="which weights are taken over")
    finetune.add_argument("--labelled", type=int, metavar="N", help="use only N labelled cases of each dataset")
    _add_training_options(finetune)
    finetune.set_defaults(command=_finetune)


def _add_two_stage(commands: Any) -> None:
    two = commands.add_parser("two-stage", help="five self-supervised tasks, ten trainings, one student")
    two.add_argument("--data", type=Path, required=True, metavar="TARGET", help="dataset with labels")
    two.add_argument("--unlabelled", type=Path, nargs="*", default=(), metavar="DIR", help="further images")
    two.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL", help="the student")
    two.add_argument("--labelled", type=int, nargs="+", metavar="N", help="labelled cases (default: all that are left)")
    two.add_argument("--seeds", type=int, default=1, metavar="K", help="seeds 0 to K-1 (default 1)")
    two.add_argument("--config", type=Path, metavar="FILE", help="TOML or YAML; see docs/pretraining.md")
    add_executor_options(two)
    two.add_argument("--publish", type=Path, metavar="DIR", help="also a dated JSON file and a page")
    two.set_defaults(command=_two_stage)


def _pretrain(options: argparse.Namespace) -> int:
    from trainer.config import read_tables, require_known_datasets
    from trainer.data.dataset import dataset_name
    from trainer.pretraining.auxiliary_config import AuxiliaryConfig
    from trainer.pretraining.pretrain import pretrain

    require_not_released(options.output)
    config, tables = read_tables(options.config, {"auxiliary": AuxiliaryConfig})
    require_known_datasets(config, [dataset_name(directory) for directory in options.data])
    manifest = pretrain(
        options.data,
        options.output,
        options.task,
        config,
        _budget(options),
        pretexts=options.pretexts,
        auxiliary=tables["auxiliary"],
        resume=options.resume,
    )
    return _tell(manifest, options.output)


def _finetune(options: argparse.Namespace) -> int:
    from trainer.config import read_config, require_known_datasets
    from trainer.data.dataset import dataset_name
    from trainer.pretraining.finetune import finetune

    require_not_released(options.output)
    config = read_config(options.config)
    require_known_datasets(config, [dataset_name(directory) for directory in options.data])
    manifest = finetune(
        options.model,
        options.data,
        options.output,
        config,
        _budget(options),
        strategy=options.strategy,
        scope=options.scope,
        labelled_cases=options.labelled,
        resume=options.resume,
    )
    return _tell(manifest, options.output)


def _two_stage(options: argparse.Namespace) -> int:
    from trainer.config import read_experiment
    from trainer.pretraining.auxiliary_config import AuxiliaryConfig
    from trainer.report.run_folder import RunFolder
    from trainer.training.run_lock import held
    from trainer.training.train_model import require_model_name
    from trainer.two_stage.experiment import Request, run_two_stage
    from trainer.two_stage.findings import bar_text
    from trainer.two_stage.publication import publish, require_name
    from trainer.two_stage.settings import Settings, TwoStageConfig

    require_not_released(options.output)
    training, tables = read_experiment(options.config, {"auxiliary": AuxiliaryConfig, "two_stage": TwoStageConfig})
    settings = Settings(training, tables["auxiliary"], tables["two_stage"])
    counts = tuple(options.labelled) if options.labelled else (None,)
    request = Request(options.data, tuple(options.unlabelled), options.output, counts, tuple(range(options.seeds)))
    require_model_name(options.output)
    if options.publish:
        require_name(options.publish, options.output, options.data)
    with held(RunFolder(options.output).path):
        found = run_two_stage(request, settings, executor_of(options), _say)
    for bar in found["bars"]:
        tell(bar_text(bar))
    tell(f"model: {options.output}", f"report: {RunFolder(options.output).report}")
    if options.publish:
        for path in publish(found, settings, options.words, options.publish):
            tell(f"published: {path}")
    return 0


def _budget(options: argparse.Namespace) -> Any:
    from trainer.training.training import Budget

    minutes = DEFAULT_MINUTES if options.steps is None and options.minutes is None else options.minutes
    return Budget(options.steps, minutes)


def _tell(manifest: Any, output: Path) -> int:
    from MultiTaskSegLib.runtime.model.model_card import model_card

    sys.stdout.write(f"{model_card(manifest, 'see info')}\n")
    tell(f"model: {output}")
    return 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
