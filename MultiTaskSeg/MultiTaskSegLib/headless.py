"""Folders of images in a Slicer without a window, as a script: whatever happens, it ends with a code and a word."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import slicer

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.gallery.batch_files import STEM
from MultiTaskSegLib.installation.missing_package import require_installed
from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.scene.batch.scene_batch import BatchOptions, segment_batch
from MultiTaskSegLib.typed_error import typed


def segment_folder(arguments: Sequence[str]) -> int:
    """Segment a folder of images: ``FOLDER RESULTS``; results, the table ``batch.csv`` and the page ``batch.html`` go
    to ``RESULTS``. Earlier ones that were edited are kept, and it is told what the new ones are called.

    Returns:
        The exit code: 0, 1 where an image failed, 2 for wrong arguments, 4 where nothing could be done. What went wrong
        is told on the standard error, one line each.
    """

    def work(folder: str, results: str) -> Sequence[BatchRow]:
        """One folder of results per image, and table and page of all."""
        found = segment_batch(folder, BatchOptions(output=results), idle=slicer.app.processEvents)
        if found.unwritten is not None:
            raise found.unwritten
        if found.page is not None and found.page.stem != STEM:
            _tell(
                f"an earlier table or page was edited, and was kept: the new ones are {found.page.stem}.csv and .html"
            )
        return found.rows

    return exit_code_of(work, arguments, "FOLDER RESULTS")


def exit_code_of(work: Callable[..., Sequence[BatchRow]], arguments: Sequence[str], expected: str) -> int:
    """The exit code of a script that works on a batch, as of `segment_folder`.

    Args:
        work: is called with the arguments.
        arguments: of the script, without its own name.
        expected: their names, separated by blanks.
    """
    try:
        if len(arguments) != len(expected.split()):
            raise UsageError(f"{len(arguments)} arguments were given", remedy=f"Give {expected}")
        require_installed()
        rows = work(*arguments)
    except Exception as error:  # a script that raised would leave a Slicer without a window running for ever
        _tell(str(typed(error)))
        return typed(error).exit_code
    for row in rows:
        if row.error:
            _tell(f"{row.image}: {row.error}")
    return 1 if any(row.error for row in rows) else 0


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
