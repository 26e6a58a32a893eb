"""Where results go, looked at before anything is computed: a result must not replace what it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.machine.atomic_file import require_folder

REPORT = "report.json"
RESULT_FILES = ("segmentation.nii.gz", "segmentation.seg.nrrd", "uncertainty.nii.gz", REPORT)
OBJECT_FILE = "segmentation.dcm"  # of DICOM series, where it is wanted


def require_result_place(directory: Path, names: Iterable[str], inputs: Iterable[Path]) -> None:
    """Refuse a folder in which a result would overwrite an input of the run.

    Args:
        directory: where results go; it need not exist.
        names: of the files that will be written there.
        inputs: files and folders that are read; of a folder, the files directly in it.

    Raises:
        InputError: a result would replace one of them.
        ResourceError: the folder is a file.
    """
    require_folder(directory)
    targets = [directory / name for name in names]
    for path in inputs:
        read = [path] if path.is_file() else list(path.iterdir()) if path.is_dir() else []
        for target in targets:
            # Where a system takes names for one that differ in case alone, the file has its own name, not the result's.
            alike = [one for one in read if one == path or one.name.casefold() == target.name.casefold()]
            if target.exists() and any(map(target.samefile, alike)):
                raise InputError(
                    "the result would overwrite the image that it is made from",
                    file=target,
                    remedy="Give another folder for the results",
                )
