"""Command line ``multitaskseg-trainer`` and ``python -m trainer``."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.errors import MtsError, printable
from MultiTaskSegLib.runtime.machine.closed_pipe import flush_output, leave_closed_pipe
from MultiTaskSegLib.runtime.machine.command_words import CommandParser, parsed
from MultiTaskSegLib.runtime.machine.last_words import last_words
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory
from trainer import (
    cli_experiments,
    cli_failure,
    cli_multi_task,
    cli_nnunet,
    cli_precision,
    cli_pretraining,
    cli_refitting,
)
from trainer.cli_environment import (
    expand_patterns,
    find_models,
    missing_package,
    require_not_released,
    require_one_process,
    tell,
)
from trainer.cli_refitting import VARIANTS
from trainer.machine.freed_memory import keep_freed_memory

EXIT_REFUSED = 4
EXIT_INTERRUPTED = 130

KINDS_OF_INSERTION = ("patch", "streak")
FAMILIES = ("real", "left-out", "matched", "artefact")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0 done, 2 wrong use, 4 refused."""
    options = parsed(make_parser(), arguments)
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal cannot show must not be the end of everything.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options.words = list(sys.argv[1:] if arguments is None else arguments)
    keep_freed_memory()
    try:
        require_one_process(options)
        expand_patterns(options)
        find_models(options)
        with last_words():
            command: Callable[[argparse.Namespace], int] = options.command
            code = command(options)
            flush_output()
        return code
    except BrokenPipeError:
        return leave_closed_pipe()
    except MtsError as error:
        return _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        wrong = missing_package(error)
        return _fail(str(wrong), wrong.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command (of a training with --resume) goes on from there", EXIT_INTERRUPTED)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _fail("not enough memory. Lower patch_voxels or patches_per_group.", EXIT_REFUSED)


def make_parser() -> argparse.ArgumentParser:
    """The argument parser."""
    parser: argparse.ArgumentParser = CommandParser(
        prog="multitaskseg-trainer", description="Train and measure MultiTaskSeg models."
    )
    parser.add_argument("--version", action="version", version=f"multitaskseg {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_verify(commands)
    _add_train(commands)
    _add_evaluate(commands)
    cli_refitting.add_commands(commands)
    cli_precision.add_commands(commands)
    _add_benchmark(commands)
    _add_experiment(commands)
    cli_pretraining.add_commands(commands)
    cli_experiments.add_commands(commands)
    cli_nnunet.add_commands(commands)
    info = commands.add_parser("info", help="show a model card")
    info.add_argument("model", type=Path, metavar="MODEL")
    info.set_defaults(command=_info)
    return parser


def _add_verify(commands: Any) -> None:
    verify = commands.add_parser("verify", help="list every defect of dataset folders")
    verify.add_argument("directories", type=Path, nargs="+", metavar="DIR")
    verify.set_defaults(command=_verify)


def _add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="train one network on all datasets")
    train.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="dataset folders")
    train.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL", help="NAME.mts.safetensors")
    train.add_argument("--config", type=Path, metavar="FILE", help="TOML or YAML; see docs/command_line.md")
    train.add_argument("--steps", type=int, help="optimiser steps (repeatable to the bit where precision is named)")
    train.add_argument("--minutes", type=float, help="wall time of the training itself (default 60)")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in the run folder")
    train.set_defaults(command=_train, several_processes=True)


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="Dice on labelled cases with the shipped pipeline")
    evaluate.add_argument("-m", "--model", type=Path, required=True)
    evaluate.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    evaluate.add_argument("--split", default="imagesTr", choices=("imagesTr", "imagesTs"))
    evaluate.add_argument("--task", default="auto", choices=("auto", "dataset"), help="recognise the task, or name it")
    evaluate.add_argument("--all-cases", action="store_true", help="also cases that the model was trained on")
    evaluate.add_argument(
        "--pictures", type=int, metavar="N", help="draw a typical case and the N worst of each dataset"
    )
    evaluate.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    evaluate.set_defaults(command=_evaluate)


def _add_benchmark(commands: Any) -> None:
    benchmark = commands.add_parser("ood-benchmark", help="tell known from foreign images, with figures")
    benchmark.add_argument("-m", "--model", type=Path, nargs="+", required=True, help="more than one: other seeds, ...")
    benchmark.add_argument("--in", type=Path, nargs="+", required=True, metavar="DIR", dest="known")
    benchmark.add_argument("--ood", type=Path, nargs="+", required=True, metavar="DIR", dest="foreign")
    benchmark.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    benchmark.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES, metavar="FAMILY")
    benchmark.add_argument("--artefact-cases", type=int, default=2, help="spoilt cases per task (default 2)")
    benchmark.add_argument("--passes", type=int, default=0, help="of Monte Carlo dropout (default 0: left out)")
    benchmark.add_argument("--ensemble", type=Path, nargs="*", default=(), metavar="MODEL", help="other members")
    benchmark.add_argument(
        "--publish", type=Path, metavar="DIR", help="also a dated JSON file and a page, as in docs/results"
    )
    benchmark.add_argument("--variant", choices=VARIANTS, help="of the shipped check, for models with an older one")
    benchmark.add_argument("--title", default="All detectors", help="of what is published")
    benchmark.add_argument("--no-untrained", action="store_true", help="without the control of an untrained network")
    benchmark.set_defaults(command=_benchmark)


def _add_experiment(commands: Any) -> None:
    experiment = commands.add_parser("experiment", help="a named experiment")
    names = experiment.add_subparsers(required=True, metavar="NAME")
    demo = names.add_parser("demo", help="the whole story on data it makes itself")
    demo.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    demo.set_defaults(command=_demo)
    calibration = names.add_parser("calibration", help="probabilities and uncertainty on unseen patients")
    calibration.add_argument("-m", "--model", type=Path, required=True)
    calibration.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    calibration.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    calibration.add_argument("--ensemble", type=Path, nargs="*", default=(), metavar="MODEL", help="further models")
    calibration.add_argument("--passes", type=int, default=10, help="of Monte Carlo dropout (default 10)")
    calibration.add_argument("--dropout-rate", type=float, default=0.1, help="default 0.1")
    calibration.add_argument("--mirror", nargs="*", default=(), metavar="TASK", help="also mirror these tasks")
    calibration.add_argument("--seed", type=int, default=0, help="of dropout and bootstrap (default 0)")
    calibration.set_defaults(command=_calibration)
    places = names.add_parser("localisation", help="does the map of foreign places find what was inserted?")
    places.add_argument("-m", "--model", type=Path, required=True)
    places.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="datasets of the model's tasks"
    )
    places.add_argument(
        "--ood", type=Path, nargs="+", required=True, metavar="DIR", help="where patches are taken from"
    )
    places.add_argument("--images", type=int, default=4, help="held-out images per task (default 4)")
    places.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="JSON file")
    places.set_defaults(command=_localisation)
    p_value = names.add_parser("p-value", help="is the p-value of the check uniform within every task?")
    p_value.add_argument("-m", "--model", type=Path, required=True)
    p_value.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="of the model's tasks")
    p_value.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="JSON file")
    p_value.add_argument("--publish", type=Path, metavar="DIR", help="also the benchmark's page, as in docs/results")
    p_value.set_defaults(command=_p_value)
    page = names.add_parser("calibration-page", help="publish results of 'calibration' as one JSON file and a page")
    page.add_argument("metrics", type=Path, nargs="+", metavar="METRICS", help="metrics.json of each model")
    page.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    page.set_defaults(command=_calibration_page)
    cli_failure.add_experiment(names)
    models = names.add_parser("model-page", help="write the tables of released models into a page")
    models.add_argument("-m", "--model", type=Path, nargs="+", required=True)
    models.add_argument("--results", type=Path, required=True, metavar="DIR", help="published figures, docs/results")
    models.add_argument(
        "--evaluations", type=Path, nargs="*", default=(), metavar="METRICS", help="metrics.json to publish first"
    )
    models.add_argument("-o", "--output", type=Path, required=True, metavar="PAGE", help="page with prose, and a mark")
    models.set_defaults(command=_model_page)
    cli_multi_task.add_command(names)


def _verify(options: argparse.Namespace) -> int:
    from trainer.verification.verify import run_verify

    return run_verify(options.directories, tell)


def _train(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.model.model_card import model_card
    from trainer.config import read_config
    from trainer.distributed.joining import joined
    from trainer.training.train_model import train_model
    from trainer.training.training import Budget

    require_not_released(options.output)
    minutes = 60.0 if options.steps is None and options.minutes is None else options.minutes
    budget = Budget(options.steps, minutes)
    with joined() as ranks:
        config, output = read_config(options.config), options.output
        manifest = train_model(
            options.data, output, config, budget, resume=options.resume, stream=ranks.stream, ranks=ranks
        )
        if ranks.rank == 0:
            print(model_card(manifest, "see 'info'"))
            tell(f"model: {output}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from trainer.evaluation.evaluation import evaluate, whose_text

    summary = evaluate(
        options.model,
        options.data,
        options.output,
        split=options.split,
        task=options.task,
        held_out_only=not options.all_cases,
        pictures=options.pictures,
        words=options.words,
    )
    for name, figures in summary.items():
        tell(
            f"{name}: {figures['cases']} cases, mean foreground Dice {figures['mean_foreground_dice']:.3f}, "
            f"recognised {100 * figures['recognised']:.0f} %, flagged {100 * figures['flagged_ood']:.0f} %"
        )
    if options.all_cases:
        tell(whose_text(False, {}))
    tell(f"report: {options.output / 'report.html'}")
    return 0


def _benchmark(options: argparse.Namespace) -> int:
    from trainer.ood.benchmark import BenchmarkSettings, run_benchmark

    settings = BenchmarkSettings(
        tuple(options.families),
        options.artefact_cases,
        options.passes,
        not options.no_untrained,
        variant=options.variant,
    )
    figures = run_benchmark(options.model, options.known, options.foreign, options.output, settings, options.ensemble)
    for result in figures["models"]:
        shipped = result["shipped"]
        flagged = ", ".join(f"{family} {100 * share:.0f} %" for family, share in shipped["sensitivity"].items())
        tell(f"{result['model']}: known accepted {100 * shipped['specificity']:.0f} %; flagged: {flagged}")
    tell(f"report: {options.output / 'report.html'}")
    if options.publish:
        from trainer.ood.published import publish
        from trainer.report.source_commit import source_commit

        paths = publish(figures["models"], options.title, options.words, source_commit(), options.publish)
        tell(" ".join(["published:", *map(str, paths)]))
    return 0


def _localisation(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.image.image_file import read_image
    from MultiTaskSegLib.runtime.predictor import Predictor
    from trainer.ood.catalogue import foreign_images
    from trainer.ood.localisation import measure_localisation
    from trainer.report.origin import origin

    source = origin("python -m trainer", options.words)
    predictor = Predictor.load(options.model)
    paths = [path for root in options.ood for _, path in foreign_images(root)]
    foreign = [path for path in paths if read_image(path).is_planar == predictor.manifest.is_planar]
    figures = measure_localisation(
        predictor, options.data, foreign, options.output, images_per_task=options.images, source=source
    )
    for kind in KINDS_OF_INSERTION:
        tell(f"{kind}: mean AUROC per cell {figures[kind]['auroc']:.3f}, control {figures[kind]['control']:.3f}")
    tell(f"figures: {options.output}")
    return 0


def _p_value(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.predictor import Predictor
    from trainer.ood.known_patients import COUNTED, measure_p_values
    from trainer.ood.published import publish_p_values
    from trainer.ood.published_aside import uniformity_words
    from trainer.report.source_commit import source_commit

    found = measure_p_values(
        Predictor.load(options.model), options.data, options.output, command=options.words, commit=source_commit()
    )
    tell(uniformity_words(found["p_value_within_tasks"], found["rule"] == COUNTED))
    if options.publish:
        tell(" ".join(["published:", *map(str, publish_p_values(found, options.publish))]))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from trainer.demo.demo import run_demo

    return run_demo(options.output)


def _calibration(options: argparse.Namespace) -> int:
    from trainer.uncertainty.experiment import CalibrationOptions, run_calibration

    wanted = CalibrationOptions(
        options.model,
        tuple(options.data),
        tuple(options.ensemble),
        options.passes,
        options.dropout_rate,
        tuple(options.mirror),
        options.seed,
    )
    for bar in run_calibration(wanted, options.output)["bars"]:
        sign = "≥" if bar["at_least"] else "≤"
        tell(f"{bar['what']}: {bar['value']:.3f} (bar {sign} {bar['limit']:g}, {'met' if bar['met'] else 'not met'})")
    tell(f"report: {options.output / 'report.html'}")
    return 0


def _calibration_page(options: argparse.Namespace) -> int:
    from trainer.uncertainty.publication import publish

    tell(f"written: {publish(options.metrics, options.output)}")
    return 0


def _model_page(options: argparse.Namespace) -> int:
    from trainer.evaluation.model_page import CARDS, keep_evaluation, write_model_page

    for metrics in options.evaluations:
        for path in keep_evaluation(metrics, options.model, options.results, options.output.parent / CARDS):
            tell(f"written: {path}")
    write_model_page(options.output, options.model, options.results)
    tell(f"written: {options.output}")
    return 0


def _info(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.imported.described_model import described_model

    print(described_model(options.model).card)
    return 0


def _fail(message: str, code: int) -> int:
    print(f"multitaskseg-trainer: {printable(message)}", file=sys.stderr)
    return code
