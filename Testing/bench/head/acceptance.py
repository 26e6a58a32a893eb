"""How many images the check of a model accepts: ``python -m Testing.bench.head.acceptance``.

For models whose check knows real images without labels, which no benchmark of labelled datasets can measure: images of
persons that it does not know should be accepted, foreign ones flagged. A folder is one of images, or a dataset folder,
whose ``cases.csv`` says which images are of one person; else those are that ``--one-person`` names, and each other
image is of a person of its own.

    python -m Testing.bench.head.acceptance -m head.mts.safetensors --known kept_back --foreign DIR... \
      -o acceptance-DATE-head.json
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.metrics.interval import share_interval
from trainer.report.origin import origin
from trainer.report.run_folder import write_json_file

ENDING = ".nii.gz"
LABELS = "_label"
CHANNEL = re.compile(r"_\d{4}$")


def images_of(sources: Iterable[Path], of_one: Sequence[str] = ()) -> dict[str, list[tuple[str, Path]]]:
    """By folder, its images with the person of each; a file counts to its folder.

    Args:
        sources: folders and files.
        of_one: where no table says it: beginnings of file names, each of one person.

    Raises:
        FileNotFoundError: a source is neither, or a folder has no image.
    """
    found: dict[str, list[tuple[str, Path]]] = {}
    for source in sources:
        folder = source if source.is_dir() else source.parent
        own = _in_folder(source) if source.is_dir() else [source]
        if not own or not all(path.is_file() for path in own):
            raise FileNotFoundError(f"{source} has no image ({ENDING})")
        people = _people(folder)
        found.setdefault(folder.name, []).extend((_person(path, people, of_one), path) for path in own)
    return found


def _person(path: Path, people: Mapping[str, str], of_one: Sequence[str]) -> str:
    case = CHANNEL.sub("", path.name.removesuffix(ENDING))  # channels of a case are images of one person
    named = next((start for start in of_one if path.name.startswith(start)), path.name)
    return people.get(case, named)


def _in_folder(folder: Path) -> list[Path]:
    inner = folder / "imagesTr"
    place = inner if inner.is_dir() else folder
    return sorted(path for path in place.glob(f"*{ENDING}") if not path.name.endswith(f"{LABELS}{ENDING}"))


def _people(folder: Path) -> Mapping[str, str]:
    table = folder / "cases.csv"
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8") as stream:
        return {row["case"]: row["group"] for row in csv.DictReader(stream) if row.get("group")}


def shares(predictor: Predictor, sources: Iterable[Path], wanted: str, of_one: Sequence[str] = ()) -> dict[str, Any]:
    """By folder: ``images``, ``patients``, how many are ``accepted`` or ``flagged`` (``wanted``), and its interval."""
    found = {}
    for name, rows in images_of(sources, of_one).items():
        hits = [predictor.check(read_image(path)).is_ood == (wanted == "flagged") for _, path in rows]
        people = [person for person, _ in rows]
        found[name] = {
            "images": len(rows),
            "patients": len(set(people)),
            wanted: sum(hits),
            "interval": list(share_interval(hits, people)),
        }
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument(
        "--known", type=Path, nargs="+", required=True, help="folders, or images, that it should accept"
    )
    parser.add_argument("--foreign", type=Path, nargs="+", required=True, help="those that it should flag")
    parser.add_argument(
        "--one-person", nargs="+", default=[], metavar="START", help="beginnings of file names, each of one person"
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    predictor = Predictor.load(options.model, "cpu")
    content = origin("python -m Testing.bench.head.acceptance", arguments) | {
        "model": read_manifest(options.model)[1],
        "known": shares(predictor, options.known, "accepted", options.one_person),
        "foreign": shares(predictor, options.foreign, "flagged", options.one_person),
    }
    write_json_file(options.output, content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
