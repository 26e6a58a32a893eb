"""The command ``experiment multi-task``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.cli_environment import tell
from trainer.cli_experiments import EXIT_INCOMPLETE, add_executor_options, executor_of

if TYPE_CHECKING:
    from trainer.multi_task.settings import MultiTaskPlan


def add_command(names: Any) -> None:
    """Add the command to the sub-commands of ``experiment``."""
    study = names.add_parser("multi-task", help="one network for all datasets against dedicated ones and transfer")
    study.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML or YAML; see docs")
    study.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    study.add_argument("--data-root", type=Path, metavar="DIR", help="instead of the file's data_root")
    study.add_argument("--publish", type=Path, metavar="DIR", help="also a dated JSON file, pictures and a page")
    study.add_argument(
        "--publish-cases", action="store_true", help="there also small pictures of cases whose terms permit it"
    )
    add_executor_options(study)
    study.set_defaults(command=_multi_task)


def _multi_task(options: argparse.Namespace) -> int:
    from trainer.multi_task.experiment import run_multi_task
    from trainer.multi_task.publication import publish, require_title
    from trainer.multi_task.settings import read_multi_task
    from trainer.multi_task.wording import trouble_sentences, verdict_sentence
    from trainer.training.run_lock import held

    if options.publish_cases and not options.publish:
        raise UsageError("--publish-cases without --publish publishes nothing", remedy="Give both, or neither")
    plan = read_multi_task(options.config, options.data_root)
    if options.publish:
        require_title(options.publish, plan.settings.title, _places(plan, options.output))
    with held(options.output, "this experiment"):
        result = run_multi_task(plan, options.output, executor_of(options), _say, options.words)
    for regime in result["regimes"]:
        tell(verdict_sentence(result, regime))
    for sentence in trouble_sentences(result):
        _say(sentence)
    tell(f"report: {options.output / 'report.html'}")
    if options.publish:
        from trainer.multi_task.case_picture import FOLDER, SMALL

        cases = options.output / FOLDER / SMALL if options.publish_cases else None
        for path in publish(result, options.words, options.publish, cases, _places(plan, options.output)):
            tell(f"published: {path}")
    return EXIT_INCOMPLETE if result["failures"] else 0


def _places(plan: MultiTaskPlan, output: Path) -> tuple[Path, ...]:
    """Folders that messages may name."""
    return plan.root, output, Path(plan.settings.data_root), Path.home()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
