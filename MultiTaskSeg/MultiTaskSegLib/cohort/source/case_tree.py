"""The cases of a folder: image files and DICOM series at any depth, or the scans of a BIDS dataset."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from MultiTaskSegLib.cohort.source.case import Case, require_distinct
from MultiTaskSegLib.cohort.source.case_list import listed_cases, path_problem
from MultiTaskSegLib.cohort.source.dicom_tree import series_cases
from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.header.dicom_element import looks_like_dicom
from MultiTaskSegLib.runtime.image.image_file import image_ending

SETTINGS_FILE = "cohort.json"  # of a folder with results, which are no images to begin with
BIDS_FILE = "dataset_description.json"
BIDS_SUBJECT = "sub-"
DICOM_ENDING = ".dcm"


def cases_of(place: Path, column: str | None = None, only: str | None = None) -> list[Case]:
    """All cases of a folder or of a list, no two of them alike.

    Args:
        place: the folder or the list.
        column: of a list that is a table, see `listed_cases`.
        only: a pattern that names of cases must match, such as ``*_T1w.nii.gz``.

    Raises:
        InputError: there is no such place, it cannot be read, or it holds no image.
        UsageError: two cases are alike, none matches the pattern, or a folder has no columns.
    """
    if not place.exists():
        raise InputError("there is no such folder or list", file=place, remedy="Check the path")
    if place.is_dir() and column is not None:
        raise UsageError("--column is for tables (.csv, .tsv)", file=place, remedy="Leave it out")
    cases = _cases_in(place) if place.is_dir() else listed_cases(place, column)
    if only is not None:
        cases = [case for case in cases if fnmatch(case.identity, only)]
        if not cases:
            raise UsageError(f"no case matches {only!r}", file=place, remedy="Check --only")
    require_distinct(cases)
    return cases


def _cases_in(folder: Path) -> list[Case]:
    cases, dicom = [], []
    is_bids = (folder / BIDS_FILE).is_file()
    try:
        for file in _files(folder, is_bids):
            ending = image_ending(file)
            if ending not in ("", DICOM_ENDING):
                cases.append(Case(file.relative_to(folder).as_posix(), file))
            elif not is_bids:
                problem = path_problem(file)
                if problem:
                    cases.append(Case(file.relative_to(folder).as_posix(), file, problem=problem))
                elif file.is_file() and looks_like_dicom(file):
                    dicom.append(file)
    except OSError as error:
        place = error.filename or folder
        raise InputError(f"the folder cannot be read ({error.strerror})", file=place, remedy="Check it") from error
    cases += series_cases(dicom, folder)
    if not cases:
        raise InputError("there is no image in this folder", file=folder, remedy="Choose a folder with images")
    return cases


def _files(folder: Path, is_bids: bool) -> Iterator[Path]:
    """Files at any depth in order of their paths; nothing hidden, nothing that a run like this one has written.

    Linked folders are walked through, too: archives are often put together of them.

    Of a BIDS dataset those of its subjects: ``derivatives``, ``sourcedata`` and ``code`` are no scans.
    """

    def refuse(error: OSError) -> None:
        """A folder that cannot be read may hold images: it is not passed over."""
        raise error

    for place, names, files in os.walk(folder, onerror=refuse, followlinks=True):
        # A link to a folder that is being walked through would lead round and round.
        is_circle = any(parent.samefile(place) for parent in Path(place).parents if parent.is_relative_to(folder))
        if is_circle or (SETTINGS_FILE in files and Path(place) != folder):
            names.clear()
            continue
        names[:] = sorted(name for name in names if not name.startswith("."))
        if is_bids and Path(place) == folder:
            names[:] = [name for name in names if name.startswith(BIDS_SUBJECT)]
            continue
        yield from (Path(place) / name for name in sorted(files) if not name.startswith("."))
