"""What a report notes of the files beside it, so that nothing that somebody has edited is written over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.machine.result_place import OBJECT_FILE, REPORT, RESULT_FILES

DIGESTS = "sha256"
"""Entry of a report: by the name of each result file, its digest; of the report itself, that of its other entries."""

_BLOCK_BYTES = 1 << 20


def with_digests(report: Mapping[str, Any], files: Iterable[Path]) -> dict[str, Any]:
    """A report that knows the files that lie beside it, and itself.

    Raises:
        OSError: a file cannot be read.
    """
    digests = {file.name: digest_of(file) for file in files}
    return {**report, DIGESTS: {**digests, REPORT: _digest_of_report(report)}}


def require_untouched(directory: Path) -> None:
    """Refuse to replace results that were edited since, or that are none of this program.

    Raises:
        InputError: a file with the name of a result is not as the report in the folder notes it, or there is no report.
    """
    report, noted = directory / REPORT, noted_files(directory)
    if report.is_file() and REPORT not in noted:
        raise _refusal("the file would be overwritten, though it was changed or is no report of a result", report)
    for name in (*RESULT_FILES, OBJECT_FILE):
        file = directory / name
        if name == REPORT or not file.is_file() or noted.get(name) == digest_of(file):
            continue
        what = "was changed since it was written" if name in noted else "is no result that a report beside it notes"
        raise _refusal(f"the file would be overwritten, though it {what}", file)


def noted_files(directory: Path) -> dict[str, str]:
    """The digests in the report of a folder; that of the report itself only where it is as it was written."""
    try:
        report = json.loads((directory / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    digests = report.pop(DIGESTS, None) if isinstance(report, dict) else None
    if not isinstance(digests, dict):
        return {}
    is_untouched = digests.get(REPORT) == _digest_of_report(report)
    return {name: digest for name, digest in digests.items() if name != REPORT or is_untouched}


def digest_of(file: Path) -> str:
    """SHA-256 of what a file holds.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _refusal(what: str, file: Path) -> InputError:
    return InputError(what, file=file, remedy="Give another folder for the results, or add --overwrite")


def _digest_of_report(report: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(report, sort_keys=True).encode()).hexdigest()
