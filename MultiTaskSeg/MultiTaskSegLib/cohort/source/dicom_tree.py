"""DICOM files at any depth as cases: one for each series of images, however they lie in folders."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.header.dicom_element import read_elements, text_of

_OBJECT, _SERIES, _MODALITY, _ROWS = 0x00080018, 0x0020000E, 0x00080060, 0x00280010
_NO_SCANS = ("SEG", "RTDOSE")  # have pixels, though they are made of scans


@dataclass
class _Folder:
    """By series, its files and their objects (SOPInstanceUID); files that cannot be read; whether others lie there."""

    series: dict[str, dict[Path, str]] = field(default_factory=lambda: defaultdict(dict))
    unread: list[Path] = field(default_factory=list)
    has_others: bool = False


def series_cases(files: Iterable[Path], root: Path) -> list[Case]:
    """Cases of DICOM files, named by their SeriesInstanceUID.

    A series is one case although it lies in several folders; of copies (the same objects in several folders) the first
    folder's has the plain name, the others their folder in it. A file that cannot be read belongs to its folder where
    that holds one series, else it is a case of its own, which will fail with the reason.

    Args:
        files: that begin as DICOM does.
        root: below which paths are told.
    """
    folders = _folders(files)
    cases = []
    for uid in sorted({uid for folder in folders.values() for uid in folder.series}):
        places = [place for place, folder in sorted(folders.items()) if uid in folder.series]
        cases += _cases_of_series(uid, places, folders, root)
    whole = {case.image for case in cases if not case.files}
    for place, folder in sorted(folders.items()):
        if place not in whole:
            cases += [Case(file.relative_to(root).as_posix(), file) for file in folder.unread]
    return cases


def _folders(files: Iterable[Path]) -> dict[Path, _Folder]:
    folders: dict[Path, _Folder] = defaultdict(_Folder)
    for file in files:
        folder = folders[file.parent]
        try:
            elements = read_elements(file)
        except (OSError, ValueError):
            folder.unread.append(file)
            continue
        # Reports and structure sets have no rows.
        if _ROWS not in elements or text_of(elements, _MODALITY) in _NO_SCANS:
            folder.has_others = True
            continue
        uid = text_of(elements, _SERIES)
        if uid:
            folder.series[uid][file] = text_of(elements, _OBJECT)
        else:
            folder.unread.append(file)
    return folders


def _cases_of_series(uid: str, places: list[Path], folders: dict[Path, _Folder], root: Path) -> list[Case]:
    objects = [name for place in places for name in folders[place].series[uid].values()]
    if len(set(objects)) == len(objects) and len(places) > 1:
        files = [file for place in places for file in sorted(folders[place].series[uid])]
        return [Case(uid, places[0], tuple(files))]
    cases = []
    for number, place in enumerate(places):
        folder = folders[place]
        is_alone = len(folder.series) == 1 and not folder.has_others
        name = uid if number == 0 else f"{uid} in {place.relative_to(root).as_posix()}"
        cases.append(Case(name, place, () if is_alone else tuple(sorted(folder.series[uid]))))
    return cases


@contextmanager
def gathered(case: Case) -> Iterator[Path]:
    """The path that is read for a case: its image, or a temporary folder with links to the files of its series.

    Raises:
        OSError: a file cannot be linked or copied.
    """
    if not case.files:
        yield case.image
        return
    with tempfile.TemporaryDirectory(prefix="mts-series-", ignore_cleanup_errors=True) as name:
        is_distinct = len({file.name.casefold() for file in case.files}) == len(case.files)
        for number, file in enumerate(case.files):
            _link(file.resolve(), Path(name) / (file.name if is_distinct else f"{number:06d}_{file.name}"))
        yield Path(name)


def _link(file: Path, place: Path) -> None:
    with suppress(OSError, NotImplementedError):  # Windows lets hardly anybody make links
        place.symlink_to(file)
        return
    shutil.copyfile(file, place)
