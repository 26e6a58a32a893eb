"""The folder with the results of a cohort: one folder for each finished case, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from MultiTaskSegLib.cohort.result.case_record import PICTURE_FILE, RECORD_FILE, CaseRecord, read_record
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.cohort.source.image_stamp import image_digest, image_stamp
from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.machine.atomic_file import PREFIX, named_after_target
from MultiTaskSegLib.runtime.machine.result_place import OBJECT_FILE, RESULT_FILES
from MultiTaskSegLib.runtime.machine.result_record import require_untouched

CASES = "cases"
CHANGED = "the image was changed after its result was made"


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


@dataclass(frozen=True)
class KnownResults:
    """What a folder has of the cases that are asked for.

    Attributes:
        finished: rows by the identity of the case.
        changed: cases whose image is another than the one that their result was made of.
    """

    finished: dict[str, CaseRecord]
    changed: list[Case]


def known_results(output: Path, cases: Sequence[Case]) -> KnownResults:
    """The results of the images as they are now.

    Raises:
        InputError: the folder of a case holds something else, or the result of another case or of another image.
    """
    known = KnownResults({}, [])
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
        if _is_of(case, record):
            known.finished[case.identity] = replace(record, source=str(case.image))
        else:
            known.changed.append(case)
    return known


def _is_of(case: Case, record: CaseRecord) -> bool:
    """Whether a result was made of the image that the case has now; one that is gone leaves its result as it is."""
    try:
        if not record.stamp:
            return True
        # At another path an image of the same size and time may well be another one, as those of an archive are.
        if record.source == str(case.image) and record.stamp == image_stamp(case):
            return True
        if record.image_sha256 == image_digest(case):
            return True
    except OSError:
        return True
    if record.source != str(case.image):
        raise InputError(
            f"there is a result of the same name, {case.identity}, of another image, {record.source}",
            file=case.image,
            remedy="Give another folder for the results",
        )
    return False


def set_aside(output: Path, case: Case) -> str:
    """Remove the result of an image that is another one now; why it has to stay, one sentence, or nothing.

    Raises:
        ResourceError: it cannot be removed.
    """
    folder = case_folder(output, case)
    try:
        require_untouched(folder)
        if {entry.name for entry in folder.iterdir()} - {*RESULT_FILES, RECORD_FILE, PICTURE_FILE, OBJECT_FILE}:
            raise InputError("other files lie beside it", file=folder)
    except InputError:
        return f"{CHANGED}, and the result was edited since; move {folder} away, and the image is done anew"
    try:
        # Two steps: a run that is killed in the middle leaves the result whole or not at all.
        aside = folder.with_name(f"{PREFIX}changed-{folder.name}")
        folder.rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise ResourceError(
            f"cannot remove ({error.strerror})", file=folder, remedy="Check the access rights"
        ) from error
    return ""


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
