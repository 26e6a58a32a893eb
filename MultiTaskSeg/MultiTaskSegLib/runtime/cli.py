"""Command line ``multitaskseg``: segment, check, info, models, cohort, drift, demo."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.errors import MtsError, UsageError, printable, system_error_sentence
from MultiTaskSegLib.runtime.hosting.channel_files import AUTO, named_files, ordered_files, read_channels
from MultiTaskSegLib.runtime.hosting.purpose import CHECK, LOCATE
from MultiTaskSegLib.runtime.machine.closed_pipe import flush_output, leave_closed_pipe
from MultiTaskSegLib.runtime.machine.command_words import CommandParser, parsed
from MultiTaskSegLib.runtime.machine.file_pattern import expanded
from MultiTaskSegLib.runtime.machine.json_text import json_text
from MultiTaskSegLib.runtime.machine.last_words import last_words
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory, memory_error
from MultiTaskSegLib.runtime.machine.result_place import OBJECT_FILE, RESULT_FILES, require_result_place
from MultiTaskSegLib.runtime.machine.result_record import require_untouched

if TYPE_CHECKING:
    from MultiTaskSegLib.runtime.hosting.image_runs import ImageRuns
    from MultiTaskSegLib.runtime.hosting.listed_runs import Outcome
    from MultiTaskSegLib.runtime.image.volume import Volume

MODEL_HELP = "model file, or a name that 'multitaskseg models' lists; default: the one of them that knows such images"
CHANNEL_HELP = "one channel of one image, by its name in the model; give every channel, in any order"
REGION_HELP = "segment only here: R R A A S S in mm, or a .mrk.json file of an ROI that 3D Slicer has saved"
TRAINER_REMEDY = "Start 'python3 start.py demo' in a checkout, or 'pip install \".[trainer]\"' there first"
LINE_CHARACTERS = 60
EXIT_OOD, EXIT_REFUSED, EXIT_INTERRUPTED = 3, 4, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0 done, 2 wrong use, 3 out of distribution, 4 refused.

    Errors are one line on standard error, never a traceback.
    """
    options = parsed(make_parser(), arguments)
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal cannot show must not be the end of everything.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with last_words():
            command: Callable[[argparse.Namespace], int] = options.command
            code = command(options)
            flush_output()
        return code
    except BrokenPipeError:
        return leave_closed_pipe()
    except KeyboardInterrupt:
        return _fail("interrupted", EXIT_INTERRUPTED)
    except Exception as error:  # the last line of defence: whatever it is, users get a sentence
        return _fail(_sentence(error), error.exit_code if isinstance(error, MtsError) else EXIT_REFUSED)


def _sentence(error: Exception) -> str:
    """What to tell about an exception, on one line."""
    if isinstance(error, MtsError):
        return str(error)
    if is_out_of_memory(error):
        return str(memory_error(error))
    if isinstance(error, OSError) and error.strerror:
        return system_error_sentence(error)
    return f"unexpected error, please report it ({type(error).__name__}: {' '.join(str(error).split())})"


def make_parser() -> argparse.ArgumentParser:
    """The argument parser."""
    from MultiTaskSegLib.cohort.options import add_cohort, add_drift

    parser: argparse.ArgumentParser = CommandParser(
        prog="multitaskseg", description="Multi-task segmentation with uncertainty and out-of-distribution detection."
    )
    parser.add_argument("--version", action="version", version=f"multitaskseg {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    segment = commands.add_parser("segment", help="segment one image")
    _add_images(
        segment, "NIfTI, NRRD, MHA, DICOM folder, PNG or JPEG; several: the channels of one image, in the model's order"
    )
    segment.add_argument("-m", "--model", help=MODEL_HELP)
    segment.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    segment.add_argument("--task", default="auto", help="a task of the model, or auto: recognised from the image")
    segment.add_argument("--region", nargs="+", metavar="MM", help=REGION_HELP)
    segment.add_argument("--whole-check", action="store_true", help="with --region: also check the whole image")
    segment.add_argument("--structures", nargs="+", default=(), metavar="NAME", help="only these; default: all")
    segment.add_argument(
        "--thorough", action="store_true", help="compare with further looks; takes 3 to 5 times as long"
    )
    segment.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    segment.add_argument("--dicom-seg", action="store_true", help="of a DICOM series: also as DICOM SEG (highdicom)")
    segment.add_argument("--overwrite", action="store_true", help="replace results in DIR though they were edited")
    segment.add_argument("--json", action="store_true", help="print the report as JSON")
    segment.set_defaults(command=_segment)

    check = commands.add_parser("check", help="is an image like the training images?")
    _add_images(check, "several are checked one after the other")
    check.add_argument("-m", "--model", help=MODEL_HELP)
    check.add_argument("--map", type=Path, metavar="DIR", help="also write maps that show where images are foreign")
    check.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    check.add_argument("--json", action="store_true", help="print a list of verdicts as JSON")
    check.add_argument("--fail-on-ood", action="store_true", help="exit with 3 when any image is out of distribution")
    check.set_defaults(command=_check)

    info = commands.add_parser("info", help="show the model card")
    info.add_argument("model", metavar="MODEL", help="model file, or a name of the list of models")
    info.add_argument("--json", action="store_true", help="print the manifest as JSON")
    info.set_defaults(command=_info)

    models = commands.add_parser("models", help="the released models and your own, with what they segment")
    models.add_argument("--json", action="store_true", help="print the list as JSON")
    models.set_defaults(command=_models)

    add_cohort(commands, _cohort)
    add_drift(commands, _drift)

    demo = commands.add_parser("demo", help="the whole story on data it makes itself, with pictures")
    demo.add_argument("-o", "--output", type=Path, default=Path("multitaskseg-demo"), metavar="DIR")
    demo.set_defaults(command=_demo)
    return parser


def _add_images(command: argparse.ArgumentParser, told: str) -> None:
    """Images by their order, or the channels of one by their names."""
    given = command.add_mutually_exclusive_group(required=True)
    given.add_argument("images", type=Path, nargs="*", default=[], metavar="IMAGE", help=told)
    given.add_argument("--channel", action="append", default=[], metavar="NAME=FILE", help=CHANNEL_HELP)


def _segment(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.hosting.image_runs import ImageRuns
    from MultiTaskSegLib.runtime.quality.quality_words import agreement_sentence, dice_words, quality_sentence
    from MultiTaskSegLib.runtime.selection.region_file import region_from
    from MultiTaskSegLib.runtime.selection.selection import Selection

    channels = _channels(options, options.task)
    paths = list(channels.values()) or options.images
    if options.dicom_seg:
        from MultiTaskSegLib.cohort.dicom.plain_result import require_highdicom, write_with_object

        require_highdicom()

    def require_place() -> None:
        """Refuse to replace the image, or what somebody has edited."""
        require_result_place(options.output, (*RESULT_FILES, OBJECT_FILE), paths)
        if not options.overwrite:
            require_untouched(options.output)

    require_place()
    region = None if options.region is None else region_from(options.region)
    selection = Selection(options.task, region, options.whole_check, tuple(options.structures), options.thorough)
    volume = read_channels(paths, list(channels))
    outcome = ImageRuns(_model_file(options), options.device, _progress_line()).run(
        volume,
        selection.purpose,
        lambda model, tell: selection.segment(model, volume, tell),
        selection.seen(volume),
    )
    result = outcome.found.with_warnings(outcome.notes).with_model_choice(outcome.choice)
    require_place()
    if options.dicom_seg:
        result, report = write_with_object(result, paths[0], options.output)
    else:
        report = result.write(options.output)
    if options.json:
        _print_json(report)
        return 0
    for warning in result.warnings:
        print(printable(f"warning: {warning}"), file=sys.stderr)
    _tell(f"{volume.name}: {result.task.name} ({result.verdict_sentence})")
    _print_explanation(result.verdict)
    answers = {"quality": quality_sentence(report["quality"]), "thorough check": agreement_sentence(report["thorough"])}
    for title in filter(answers.get, answers):
        _tell(f"{title}: {answers[title]}")
    _print_choice(outcome.choice)
    for label in report["labels"]:
        confidence = label["mean_confidence"]
        shown = "not found" if confidence is None else f"mean confidence {confidence:.2f}"
        shown += f", {told}" if (told := dice_words(label)) else ""
        _tell(f"  {label['value']:3d} {label['name']:24s} {_size(label, volume.is_planar)}  {shown}")
    _tell(f"results in {options.output}")
    return 0


def _channels(options: argparse.Namespace, task: str = AUTO) -> dict[str, Path]:
    """Files by channel, in the model's order, where they were given by name; else the images say everything."""
    if not options.channel:
        return {}
    files = named_files(options.channel)
    model = _model_file(options)
    if model is None:
        raise UsageError("--channel needs a model, which knows its channels", remedy="Name it with -m")
    from MultiTaskSegLib.runtime.imported.described_model import described_model

    tasks = described_model(model).plain["tasks"]
    return ordered_files(files, {own["name"]: tuple(own.get("inputs", ())) for own in tasks}, task)


def _model_file(options: argparse.Namespace) -> Path | None:
    """The model that the user names; None: the released one."""
    from MultiTaskSegLib.runtime.model.released import named_model

    return None if options.model is None else named_model(options.model)


def _size(label: dict[str, Any], is_planar: bool) -> str:
    """Volume or area of a structure, or how many voxels it has where an image has no physical size."""
    if label["volume_mm3"] is not None:
        return f"{label['volume_mm3'] / 1000:10.2f} ml"
    if label["area_mm2"] is not None:
        return f"{label['area_mm2'] / 100:10.2f} cm²"
    return f"{label['voxels']:10d} {'pixels' if is_planar else 'voxels'}"


def _check(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.hosting.image_runs import ImageRuns
    from MultiTaskSegLib.runtime.hosting.map_place import map_paths

    channels = _channels(options)
    # By what each image is called, the files of its channels.
    images = [next(iter(channels.values()))] if channels else expanded(options.images)
    maps = map_paths(images, options.map)
    runs = ImageRuns(_model_file(options), options.device, _progress_line())
    entries: list[dict[str, Any]] = []
    try:
        for path in images:
            entries.append(_entry(runs, path, channels or {"": path}, maps.get(path), options.json))
            # A folder of images of different sizes would leave gigabytes of holes in the heap.
            release_freed_memory()
    finally:
        # What is known is told whatever happens, also when the user ends it.
        if options.json:
            _print_json(entries)
    if any("error" in entry for entry in entries):
        return EXIT_REFUSED
    return EXIT_OOD if options.fail_on_ood and any(entry["ood"]["is_ood"] for entry in entries) else 0


def _entry(
    runs: ImageRuns, path: Path, channels: dict[str, Path], map_path: Path | None, is_json: bool
) -> dict[str, Any]:
    """What is known about one image, as plain values: one that fails must not hide the verdicts on the others."""
    several = {"channels": {name: str(file) for name, file in channels.items()}} if len(channels) > 1 else {}
    try:
        volume = read_channels(list(channels.values()), list(channels))
        outcome = _checked(runs, volume, map_path)
    except BrokenPipeError:
        raise
    except Exception as error:
        _fail(_sentence(error), EXIT_REFUSED)
        return {"image": str(path), **several, "error": _sentence(error)}
    verdict = outcome.found
    warnings = list(dict.fromkeys((*verdict.warnings, *outcome.notes)))
    if not is_json:
        for warning in warnings:
            print(printable(f"warning: {path}: {warning}"), file=sys.stderr)
        _tell(f"{path}: {verdict.sentence()} (p = {verdict.p_value:.3f})")
        _print_explanation(verdict)
        _print_choice(outcome.choice)
    entry = {
        "image": str(path),
        **several,
        "model": outcome.model,
        "ood": verdict.as_dict(),
        "network_grid": verdict.network_grid,
        "warnings": warnings,
    }
    return entry if map_path is None else {**entry, "map": str(map_path)}


def _checked(runs: ImageRuns, volume: Volume, map_path: Path | None) -> Outcome[Any]:
    """The verdict on an image, and which model gave it; its map is written when there is a path for it."""
    if map_path is None:
        return runs.run(volume, CHECK, lambda model, tell: model.check(volume, tell))
    outcome = runs.run(volume, LOCATE, lambda model, tell: model.locate(volume, tell))
    from MultiTaskSegLib.runtime.image.sitk_image import to_sitk, write_image

    verdict, rarity = outcome.found
    write_image(to_sitk(rarity, volume), map_path)
    return replace(outcome, found=verdict)


def _info(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.imported.described_model import described_model
    from MultiTaskSegLib.runtime.model.released import named_model

    path = named_model(options.model)
    model = described_model(path)
    if options.json:
        _print_json({"file": str(path), "sha256": model.digest, "manifest": model.plain})
    else:
        print(model.card)
        _tell(f"file: {path}")
    return 0


def _models(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.runtime.model.model_folder import model_folder
    from MultiTaskSegLib.runtime.model.model_list import listed_models

    entries = listed_models()
    if options.json:
        _print_json([entry.as_dict() for entry in entries])
        return 0
    for entry in entries:
        _tell(*entry.lines())
    _tell(f"your own models lie in {model_folder()}")
    return 0


def _cohort(options: argparse.Namespace) -> int:
    """Loaded by this command alone: nothing else of the runtime knows that there are clusters."""
    from MultiTaskSegLib.cohort.cli import cohort

    return cohort(options)


def _drift(options: argparse.Namespace) -> int:
    from MultiTaskSegLib.cohort.drift.cli import drift

    return drift(options)


def _demo(options: argparse.Namespace) -> int:
    """The trainer runs in a process of its own: the runtime never depends on it."""
    import subprocess

    if find_spec("trainer") is None or find_spec("matplotlib") is None:
        raise UsageError("the demo trains a model", remedy=TRAINER_REMEDY)
    command = [sys.executable, "-m", "trainer", "experiment", "demo", "-o", str(options.output)]
    return subprocess.run(command, check=False).returncode


def _progress_line() -> Callable[[float, str], None]:
    """A line that is rewritten, on a terminal only."""
    is_shown = sys.stderr.isatty()

    def show(share: float, step: str) -> None:
        """Rewrite the line; clear it at the end."""
        if not is_shown:
            return
        # Blanks wipe a line on every terminal; escape sequences are shown as they are by those that do not know them.
        text = f"{100 * share:3.0f} % {step}"[:LINE_CHARACTERS]
        wiped = " " * LINE_CHARACTERS + "\r" if share >= 1 else ""
        print(f"\r{text:{LINE_CHARACTERS}}\r{wiped}", end="", file=sys.stderr, flush=True)

    return show


def _print_explanation(verdict: Any) -> None:
    if verdict is not None and verdict.explanation is not None:
        _tell(f"  {verdict.explanation.sentence()}")


def _print_choice(choice: dict[str, Any] | None) -> None:
    if choice is not None:
        _tell(f"  {choice['sentence']}")


def _tell(*lines: str) -> None:
    """Lines for people. Names in them come from files: none begins a line of its own or moves the cursor."""
    for line in lines:
        print(printable(line))


def _print_json(value: Any) -> None:
    print(json_text(value))


def _fail(message: str, code: int) -> int:
    print(f"multitaskseg: {printable(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
