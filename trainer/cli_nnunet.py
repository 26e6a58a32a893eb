"""The command ``import-nnunet``."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import MtsError, UsageError
from trainer.cli_environment import require_model_place, tell


def add_commands(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser("import-nnunet", help="make a model file of a model that nnU-Net v2 has trained")
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="results folder, one above it, or exported zip file"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="MODEL", help="NAME.mts.safetensors; without it the models are listed"
    )
    parser.add_argument("--configuration", metavar="C", help="such as 3d_fullres; where there are several")
    parser.add_argument("--trainer", metavar="T", help="name of the trainer's class; where there are several")
    parser.add_argument("--plans", metavar="P", help="name of the plans; where there are several")
    parser.add_argument("--folds", nargs="*", default=(), metavar="F", help="default: all numbered ones")
    parser.add_argument("--licence", default="", metavar="TEXT", help="of the weights, as their authors state it")
    parser.add_argument(
        "--reference", type=Path, nargs="*", default=(), metavar="DATASET", help="images that it was trained on"
    )
    parser.add_argument(
        "--held-out", nargs="*", default=(), metavar="CASE", help="of them, those that no fold has seen"
    )
    parser.add_argument("--name", default="", help="of the model; default: that of the file")
    parser.add_argument("--overwrite", action="store_true", help="replace a model file of this name")
    parser.set_defaults(command=_import)


def _import(arguments: argparse.Namespace) -> int:
    if arguments.held_out and not arguments.reference:
        raise UsageError("--held-out names cases of a reference", remedy="Give their dataset with --reference")
    if arguments.reference and arguments.output is None:
        raise UsageError("a reference needs a model to be written to", remedy="Name the model file with -o")
    return _list(arguments.folder) if arguments.output is None else _write(arguments)


def _write(arguments: argparse.Namespace) -> int:
    """Write the model file, and show its card."""
    from MultiTaskSegLib.runtime.imported.described_model import described_model
    from MultiTaskSegLib.runtime.imported.importing import Choice, import_model
    from MultiTaskSegLib.runtime.model.model_folder import remove_leftovers

    choice = Choice(arguments.configuration, tuple(arguments.folds), arguments.trainer, arguments.plans)
    output: Path = arguments.output
    if output.exists() and not arguments.overwrite:
        raise UsageError(
            "there is a file of this name already",
            file=output,
            remedy="Give another name, or --overwrite to replace it",
        )
    require_model_place(output)
    # Of an import that was killed while it wrote.
    remove_leftovers(output)
    with _ended_cleanly(), tempfile.TemporaryDirectory() as folder:
        # Where the reference cannot be fitted nothing is written.
        draft = Path(folder) / output.name if arguments.reference else output
        import_model(arguments.folder, draft, choice, arguments.licence, arguments.name)
        if arguments.reference:
            from trainer.refitting.imported_refit import refit_imported

            refit_imported(draft, arguments.reference, output, held_out=arguments.held_out)
    sys.stdout.write(f"{described_model(output).card}\n")
    tell(f"file: {output}")
    return 0


@contextmanager
def _ended_cleanly() -> Iterator[None]:
    """Within, whoever asks the process to end gives it time to take away what it has begun to write."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _list(folder: Path) -> int:
    """List the models, and what stands in the way of each; exit status 4 where no model could be read."""
    from MultiTaskSegLib.runtime.nnunet.results_source import results_source
    from MultiTaskSegLib.runtime.nnunet.trained_model import load_trained_model, trained_models

    source = results_source(folder)
    readable = 0
    for model in trained_models(source):
        sys.stdout.write(f"{_shown(str(model.place))}\n  folds {_shown(', '.join(model.folds))}\n")
        try:
            loaded = load_trained_model(source, model)
        except MtsError as error:
            sys.stdout.write(f"  cannot be used: {_shown(str(error))}\n")
            continue
        readable += 1
        sys.stdout.write("".join(f"  {_shown(line)}\n" for line in model_lines(loaded)))
    return 0 if readable else 4


def _shown(line: str) -> str:
    """A line with names out of files, without what moves the cursor of a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def model_lines(loaded: Any) -> list[str]:
    """What a model is, in lines.

    Args:
        loaded: `MultiTaskSegLib.runtime.nnunet.trained_model.LoadedModel`.
    """
    plan = loaded.plan
    network, preparation, structures = plan.network, plan.preparation, plan.structures
    millions = sum(tensor.numel() for tensor in loaded.folds[0].network.parameters()) / 1e6
    kind = "regions that may overlap" if structures.are_regions else "labels"
    spacing = " x ".join(f"{edge:g}" for edge in preparation.spacing_mm)
    epochs = ", ".join(str(fold.epochs) for fold in loaded.folds)
    return [
        f"{plan.dataset}, {plan.configuration}, trained by {loaded.trainer} for {epochs} epochs",
        f"{network.kind} U-Net of {len(network.features)} stages, {millions:.1f} million weights a fold",
        f"channels: {', '.join(structures.channels)}",
        f"{kind}: {', '.join(entry.name for entry in structures.entries)}",
        f"{network.dimension}-D patches of {' x '.join(map(str, preparation.patch))} voxels of {spacing} mm",
    ]
