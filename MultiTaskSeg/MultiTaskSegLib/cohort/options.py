"""The options of ``multitaskseg cohort`` and ``multitaskseg drift``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from datetime import date
from pathlib import Path

from MultiTaskSegLib.cohort.result.settings import CHECK, SEGMENT

RETRIES = 2
CASES_HELP = "a folder (image files, DICOM series, or a BIDS dataset) or a list of paths (text, .csv or .tsv)"


def add_cohort(commands: argparse._SubParsersAction[argparse.ArgumentParser], command: Callable[..., int]) -> None:
    """Add the command to those of the program; ``command`` is called with its options."""
    cohort = commands.add_parser("cohort", help="thousands of images, on this machine or on a cluster (Ray)")
    kinds = cohort.add_subparsers(required=True, metavar="COMMAND")
    segment = kinds.add_parser(SEGMENT, help="segment every image")
    segment.add_argument("--task", default="auto", help="a task of the model, or auto: recognised from each image")
    segment.add_argument("--structures", nargs="+", default=(), metavar="NAME", help="only these; default: all")
    segment.add_argument(
        "--bids-derivatives", action="store_true", help="of a BIDS dataset: also as derivatives in OUT/bids"
    )
    segment.add_argument("--dicom-seg", action="store_true", help="of DICOM series: also as DICOM SEG (highdicom)")
    segment.add_argument(
        "--thorough", action="store_true", help="compare with further looks; takes 3 to 5 times as long"
    )
    check = kinds.add_parser(CHECK, help="is each image like the training images?")
    check.set_defaults(task="", structures=(), bids_derivatives=False, dicom_seg=False, thorough=False)
    for kind, parser in ((SEGMENT, segment), (CHECK, check)):
        _add_common(parser)
        parser.set_defaults(command=command, kind=kind)


def add_drift(commands: argparse._SubParsersAction[argparse.ArgumentParser], command: Callable[..., int]) -> None:
    """Add the command to those of the program; ``command`` is called with its options."""
    drift = commands.add_parser("drift", help="how the results of a cohort move over date, scanner and site")
    drift.add_argument("output", type=Path, metavar="OUT", help="folder with the results of a cohort")
    drift.add_argument(
        "--by", action="append", choices=("date", "scanner", "site"), help="only this; may be given again; default: all"
    )
    drift.add_argument("--since", type=_day, metavar="DATE", help="only cases from this day on (YYYY-MM-DD)")
    drift.add_argument("--until", type=_day, metavar="DATE", help="only cases up to this day")
    drift.add_argument(
        "--alpha", type=_level, default=0.05, help="how often chance may be taken for drift; default .05"
    )
    drift.add_argument("--fail-on-drift", action="store_true", help="exit with 3 where something has moved")
    drift.add_argument("--json", action="store_true", help="print all tests as JSON")
    drift.set_defaults(command=command)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cases", type=Path, metavar="LIST_OR_FOLDER", help=CASES_HELP)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    parser.add_argument("-m", "--model", required=True, help="model file, or a name that 'multitaskseg models' lists")
    parser.add_argument("--column", metavar="NAME", help="of a list that is a table: the column of the paths")
    parser.add_argument("--only", metavar="PATTERN", help="only cases whose path matches, such as '*_T1w.nii.gz'")
    parser.add_argument("--address", help="of a Ray cluster (auto, host:port, ray://...); default: Ray on this machine")
    parser.add_argument("--workers", type=_count, default=1, metavar="N", help="images at once")
    parser.add_argument("--cpus", type=_positive, metavar="K", help="processors of a worker; here: an equal share")
    parser.add_argument(
        "--gpus", type=_share, metavar="K", help="graphics cards of a worker; default: 1 with --device cuda"
    )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument(
        "--retries", type=_whole, default=RETRIES, metavar="N", help="after a first attempt that failed"
    )
    parser.add_argument(
        "--no-origin", dest="origin", action="store_false", help="note no date, scanner and site of the images"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def _count(text: str) -> int:
    return int(_bounded(text, 1, is_whole=True))


def _whole(text: str) -> int:
    return int(_bounded(text, 0, is_whole=True))


def _positive(text: str) -> float:
    return _bounded(text, 0.01)


def _share(text: str) -> float:
    return _bounded(text, 0)


def _level(text: str) -> float:
    value = _bounded(text, 0.0001)
    if value > 0.5:
        raise argparse.ArgumentTypeError("give at most 0.5")
    return value


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("give a day as YYYY-MM-DD") from None


def _bounded(text: str, least: float, *, is_whole: bool = False) -> float:
    try:
        value = int(text) if is_whole else float(text)
    except ValueError:
        value = math.nan
    if not least <= value < math.inf:
        raise argparse.ArgumentTypeError(f"give {'a whole number' if is_whole else 'a number'}, {least:g} or more")
    return value
