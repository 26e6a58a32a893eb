"""Images with masks as run lengths in a table, as in the SIIM-ACR pneumothorax challenge."""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import DatasetError, InputError
from MultiTaskSegLib.runtime.image.image_file import image_ending
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.layout.case import FILES, Case, LabelMap
from trainer.layout.listing import Listing, optional_info, refuse_sequence
from trainer.layout.photograph import PhotographReader

TABLES = ("train-rle.csv", "train.csv", "masks.csv")
IMAGE_COLUMN, RUNS_COLUMN = "ImageId", "EncodedPixels"
NOTHING = ("", "-1", "nan")
LABEL = "foreground"


@dataclass(frozen=True)
class RunLengthReader:
    """Rows of a table as one mask.

    Attributes:
        key: value of ``ImageId``.
        relative: the first number of a run counts pixels since the end of the last run (SIIM-ACR); otherwise it is the
            run's place, counted from 1.
    """

    key: str
    relative: bool

    def files(self, case: Case) -> tuple[Path, ...]:
        """Image and table."""
        return FILES.files(case)

    def image(self, case: Case) -> Volume:
        """The image file, colour as grey."""
        return PhotographReader().image(case)

    def labels(self, case: Case) -> LabelMap:
        """1 inside any of the image's runs.

        Raises:
            InputError: the image is a volume, or a run leaves the image or is not two numbers.
        """
        volume = self.image(case)
        assert case.label is not None
        if volume.shape[0] != 1:
            raise InputError("run lengths describe 2-D images only", file=case.image, remedy="Give 2-D images")
        mask = np.zeros(volume.shape, dtype=np.int32)
        for runs in read_table(case.label).get(self.key, ()):
            mask[0] |= decode_runs(runs, (volume.shape[1], volume.shape[2]), self.relative, case.label)
        return mask, volume.ijk_to_lps


class RunLengthLayout:
    """A table with the columns ``ImageId`` and ``EncodedPixels`` and the images anywhere beside it.

    An image may have several rows; ``-1`` or nothing in the second column is an empty mask.
    """

    name = "run-length table (ImageId, EncodedPixels)"

    def recognises(self, directory: Path) -> bool:
        """Whether there is such a table."""
        return _table(directory) is not None

    def read(self, directory: Path, split: str, sequence: str) -> Listing:
        """List the images that the table names.

        Raises:
            DatasetError: an image of the table is missing, or the table is malformed.
        """
        refuse_sequence(self.name, directory, sequence)
        table = _table(directory)
        assert table is not None
        info = optional_info(directory)
        relative = run_kind(info.get("run_length", "relative"), directory)
        files = {p.name[: -len(image_ending(p))]: p for p in directory.rglob("*") if p.is_file() and image_ending(p)}
        rows = read_table(table) if split == "imagesTr" else {}
        keys = {key: key[: -len(image_ending(Path(key)))] if image_ending(Path(key)) else key for key in rows}
        missing = [key for key, stem in keys.items() if stem not in files]
        if missing or not rows:
            what = (
                f"{len(missing)} images of the table are missing, the first is {missing[0]}" if missing else "no case"
            )
            raise DatasetError(what, file=table, remedy="Add the images, or remove their rows")
        cases = tuple(
            Case(stem, files[stem], table, stem, RunLengthReader(key, relative)) for key, stem in keys.items()
        )
        return Listing(str(info.get("modality", "picture")), {1: str(info.get("label", LABEL))}, cases, info)


def run_kind(word: object, directory: Path) -> bool:
    """Whether runs are relative, from the key ``run_length`` of ``dataset.json``.

    Raises:
        DatasetError: it is neither ``relative`` nor ``absolute``.
    """
    if word not in ("relative", "absolute"):
        raise DatasetError(f"'run_length' is {word!r}", file=directory, remedy="Use relative or absolute")
    return word == "relative"


def read_table(path: Path) -> dict[str, tuple[str, ...]]:
    """Run-length texts by image; an image with an empty mask has none.

    Raises:
        DatasetError: the table cannot be read or lacks a column.
    """
    state = path.stat()
    return _read_table(path, (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino))


def decode_runs(text: str, shape: tuple[int, int], relative: bool, file: Path | None = None) -> NDArray[np.int32]:
    """A mask ``(Y, X)`` from pairs of start and length, counted down the columns.

    >>> decode_runs("1 2 2 1", (2, 3), relative=True).tolist()
    [[0, 1, 0], [1, 0, 1]]
    >>> decode_runs("2 2 6 1", (2, 3), relative=False).tolist()
    [[0, 1, 0], [1, 0, 1]]

    Raises:
        InputError: the text is not pairs of whole numbers, or a run leaves the image.
    """
    try:
        numbers = np.array([int(word) for word in text.split()], dtype=np.int64)
    except (ValueError, OverflowError):
        numbers = np.full(1, -1)
    if len(numbers) % 2 or (numbers < 0).any():
        raise InputError("run lengths are not pairs of whole numbers", file=file, remedy="Correct the table")
    starts, lengths = numbers[0::2], numbers[1::2]
    first = np.cumsum(starts) + np.cumsum(lengths) - lengths if relative else starts - 1
    flat = np.zeros(shape[0] * shape[1], dtype=np.int32)
    if len(first) and (first.min() < 0 or (first + lengths).max() > len(flat)):
        raise InputError(
            "a run leaves the image", file=file, remedy="Say 'run_length': 'absolute' or 'relative' in dataset.json"
        )
    for start, length in zip(first, lengths, strict=True):
        flat[start : start + length] = 1
    return np.ascontiguousarray(flat.reshape(shape[1], shape[0]).T)


@functools.lru_cache(maxsize=4)
def _read_table(path: Path, stamp: tuple[int, ...]) -> dict[str, tuple[str, ...]]:
    """The table is read once, not once per image; ``stamp`` makes a changed table another one."""
    rows: dict[str, tuple[str, ...]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            columns = _columns(reader.fieldnames or ())
            if columns is None:
                raise DatasetError(f"the table needs the columns {IMAGE_COLUMN} and {RUNS_COLUMN}", file=path)
            for row in reader:
                key, runs = ((row[column] or "").strip() for column in columns)
                rows[key] = rows.get(key, ()) + (() if runs.lower() in NOTHING else (runs,))
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"the table cannot be read ({error})", file=path, remedy="Save it as UTF-8 text") from error
    return rows


def _table(directory: Path) -> Path | None:
    for path in (directory / name for name in TABLES):
        if path.is_file():
            with path.open(encoding="utf-8-sig", errors="replace") as stream:
                if _columns(stream.readline().strip().split(",")) is not None:
                    return path
    return None


def _columns(names: Sequence[str]) -> tuple[str, str] | None:
    """The two columns as they are written; SIIM-ACR's header has a space before the second."""
    by_name = {name.strip(): name for name in names}
    return (by_name[IMAGE_COLUMN], by_name[RUNS_COLUMN]) if {IMAGE_COLUMN, RUNS_COLUMN} <= by_name.keys() else None
