"""Checks of a folder in a Slicer without a window, as a script."""

from __future__ import annotations

from collections.abc import Sequence

import slicer

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.batch_table import write_batch_csv
from MultiTaskSegLib.headless import exit_code_of
from OODCheckLib.check import start_batch
from OODCheckLib.image_item import image_items


def check_folder(arguments: Sequence[str]) -> int:
    """Check a folder of images: ``FOLDER TABLE``, the latter a CSV file to write. Returns as `segment_folder`."""

    def work(folder: str, table: str) -> Sequence[BatchRow]:
        """All images of the folder with the released model."""
        rows = start_batch(image_items(folder), None, "auto", False).wait(idle=slicer.app.processEvents)
        write_batch_csv(rows, table)
        return rows

    return exit_code_of(work, arguments, "FOLDER TABLE")
