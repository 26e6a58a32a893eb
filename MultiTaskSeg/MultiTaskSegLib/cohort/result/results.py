"""The folder with the results of a cohort: one folder for each finished case, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from MultiTaskSegLib.cohort.result.case_record import RECORD_FILE, CaseRecord, read_record
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.cohort.source.image_stamp import image_stamp
from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.machine.atomic_file import PREFIX, named_after_target

CASES = "cases"
CHANGED = "the image was changed after this result was made"


def case_folder(output: Path, case: Case) -> Path:
    """Where the result of a case lies, once it is finished."""
    return output / CASES / case.folder_name


@contextmanager
def new_result(output: Path, case: Case) -> Iterator[Path]:
    """Yield a folder for the files of a result, which get their place together when the block succeeds.

    Where the case has a result already, which a worker made that was thought to be dead, that one stays.

    Raises:
        ResourceError: the files cannot be written.
    """
    target = case_folder(output, case)
    with named_after_target(target, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=PREFIX, ignore_cleanup_errors=True) as name:
            stage = Path(name) / target.name
            stage.mkdir()
            with named_after_target(stage, target):
                yield stage
                _flush(stage)
                _move(stage, target)


def finished_records(output: Path, cases: Sequence[Case]) -> dict[str, CaseRecord]:
    """Rows of the cases that have a result, by their identity; a warning is added where the image was changed since.

    Raises:
        InputError: the folder of a case holds something else, or the result of another case or of another image.
    """
    found = {}
    for case in cases:
        folder = case_folder(output, case)
        if not folder.exists():
            continue
        record = read_record(folder)
        if record.case != case.identity:
            raise InputError(
                f"the folder holds the result of another case, {record.case}",
                file=folder,
                remedy="Give another folder for the results",
            )
        found[case.identity] = _of_image(record, case, folder)
    return found


def _of_image(record: CaseRecord, case: Case, folder: Path) -> CaseRecord:
    """The row, as that of the image that the case has now."""
    with suppress(OSError):  # an image that is gone leaves its result as it is
        if not record.stamp or record.stamp == image_stamp(case):
            return replace(record, source=str(case.image))
        if record.source != str(case.image):
            raise InputError(
                f"there is a result of the same name, {case.identity}, of another image, {record.source}",
                file=case.image,
                remedy="Give another folder for the results; of moved images keep the times",
            )
        told = f"{CHANGED}; remove {folder} to make it anew"
        return replace(record, warnings=(*record.warnings, told))
    return record


def all_results(output: Path) -> list[CaseRecord]:
    """Rows of all results in a folder, in the order of their names, also of cases that nobody lists any more.

    Raises:
        InputError: one cannot be read back.
    """
    place = output / CASES
    names = sorted(entry.name for entry in os.scandir(place) if _is_result(entry)) if place.is_dir() else []
    return [read_record(place / name) for name in names]


def count_results(output: Path) -> int:
    """How many results there are, also of cases that nobody asks for any more."""
    place = output / CASES
    if not place.is_dir():
        return 0
    return sum(_is_result(entry) for entry in os.scandir(place))


def _is_result(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.is_dir()


def remove_leftovers(output: Path) -> None:
    """What workers that were killed have left; only while none is at work."""
    for folder in (output / CASES).glob(f"{PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


def require_writable(output: Path) -> None:
    """Refuse a folder in which nothing can be written, before anything is computed for it.

    Raises:
        ResourceError: that is so.
    """
    try:
        (output / CASES).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output / CASES, prefix=PREFIX) as file:
            file.write(bytes(1 << 16))
    except OSError as error:
        raise ResourceError(
            f"cannot write ({error.strerror})", file=output, remedy="Check permissions and free disk space"
        ) from error


def _flush(stage: Path) -> None:
    """The bytes are on the disk before the folder gets its name, so that a power cut leaves no hollow result."""
    for file in stage.iterdir():
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())


def _move(stage: Path, target: Path) -> None:
    try:
        stage.rename(target)
    except OSError:
        if not (target / RECORD_FILE).is_file():
            raise
        return
    with suppress(OSError):  # Windows cannot open a folder
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
