"""Table and page of a batch in a folder: both or neither, and none in the place of one that somebody edited.

No torch here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.batch_table import write_batch_csv
from MultiTaskSegLib.gallery.batch_page import batch_page
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.machine.atomic_file import staged_files
from MultiTaskSegLib.runtime.machine.result_record import digest_of

STEM = "batch"
TABLE_ENDING, PAGE_ENDING = ".csv", ".html"
CHECKSUMS_ENDING = ".sha256"  # as the program sha256sum writes and checks it


def write_batch_files(rows: Sequence[BatchRow], folder: str | Path) -> Path:
    """Write ``batch.csv`` and ``batch.html``, with ``batch.sha256``, which tells later whether they were changed.

    Earlier ones are replaced only where they are as they were written; else the new ones are ``batch_2.csv`` and so on.

    Returns:
        The page.

    Raises:
        ResourceError: the folder cannot be read or written.
    """
    folder = Path(folder)
    try:
        stem = next(stem for stem in _stems() if _is_free(folder, stem))
    except OSError as error:
        raise ResourceError(
            f"the earlier table cannot be read ({error.strerror})", file=folder, remedy="Give another folder"
        ) from error
    with staged_files(folder) as stage:
        table, page = (stage / f"{stem}{ending}" for ending in (TABLE_ENDING, PAGE_ENDING))
        write_batch_csv(rows, table)
        # Names of files need not be text: what cannot be written is shown as a question mark.
        page.write_text(batch_page(rows, folder), encoding="utf-8", errors="replace", newline="\n")
        lines = [f"{digest_of(file)}  {file.name}\n" for file in (table, page)]
        (stage / f"{stem}{CHECKSUMS_ENDING}").write_text("".join(lines), encoding="utf-8", newline="\n")
    return folder / page.name


def _stems() -> itertools.chain[str]:
    return itertools.chain([STEM], (f"{STEM}_{number}" for number in itertools.count(2)))


def _is_free(folder: Path, stem: str) -> bool:
    """Whether nothing is there of that name, or only what was written here and not changed."""
    notes = folder / f"{stem}{CHECKSUMS_ENDING}"
    files = [folder / f"{stem}{ending}" for ending in (TABLE_ENDING, PAGE_ENDING)]
    if not any(file.exists() for file in (notes, *files)):
        return True
    if not all(file.is_file() for file in (notes, *files)):
        return False
    return notes.read_text(encoding="utf-8", errors="replace") == "".join(
        f"{digest_of(file)}  {file.name}\n" for file in files
    )
