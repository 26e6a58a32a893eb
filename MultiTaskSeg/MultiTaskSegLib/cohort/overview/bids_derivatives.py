"""Segmentations of a BIDS dataset as a derivative dataset, beside the results of the cohort.

BIDS 1.9, derivatives: discrete segmentations (``_dseg``), their tables of labels, and ``dataset_description.json``.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from MultiTaskSegLib import __version__
from MultiTaskSegLib.cohort.result.case_record import DONE, CaseRecord
from MultiTaskSegLib.cohort.result.results import case_folder
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.cohort.source.case_tree import BIDS_FILE
from MultiTaskSegLib.runtime.errors import ResourceError, UsageError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.machine.result_place import REPORT
from MultiTaskSegLib.runtime.machine.result_record import DIGESTS, digest_of

DERIVATIVES = "bids"
BIDS_VERSION = "1.9.0"
SOURCE_LINK = "raw"
COPIED = "ResultSHA256"  # of the result that a derivative is a copy of
SEGMENTATION = "segmentation.nii.gz"
_SCAN = re.compile(r"(?P<entities>sub-[^/]*)_(?P<suffix>[A-Za-z0-9]+)\.nii(\.gz)?")


def require_bids(source: Path) -> None:
    """Refuse what is no BIDS dataset.

    Raises:
        UsageError: it is none.
    """
    if not (source / BIDS_FILE).is_file():
        raise UsageError(
            f"--bids-derivatives is for a BIDS dataset, and {source} has no {BIDS_FILE}", remedy="Leave it out"
        )


def derivative_name(identity: str, task: str) -> str | None:
    """Path of a segmentation in the derivative dataset, without its ending; None for a file that is no scan of BIDS.

    ``seg`` names the task, ``desc`` the suffix of the scan, so that those of T1w and T2w are told apart.

    >>> derivative_name("sub-01/anat/sub-01_run-1_T1w.nii.gz", "Dataset001_Balls")
    'sub-01/anat/sub-01_run-1_seg-Dataset001Balls_desc-T1w_dseg'
    >>> derivative_name("sub-01/notes.nrrd", "Balls") is None
    True
    """
    path = PurePosixPath(identity)
    match = _SCAN.fullmatch(path.name)
    if match is None:
        return None
    plain = re.sub(r"[^A-Za-z0-9]", "", task) or "task"
    return (path.parent / f"{match['entities']}_seg-{plain}_desc-{match['suffix']}_dseg").as_posix()


def write_derivatives(records: Sequence[CaseRecord], source: Path, output: Path) -> dict[str, str]:
    """Write the segmentations of all finished cases; those of a result that was made anew are replaced.

    They are copies: who corrects one leaves the result as the model made it.

    Args:
        records: of all cases.
        source: the BIDS dataset.
        output: folder of the results.

    Returns:
        Cases that are done and have none, with the reason: their file has no name of BIDS, or one that differs from
        another's in its ending alone, or the result is a new one and the copy of the former was edited.

    Raises:
        ResourceError: a file cannot be written, or a result cannot be read.
    """
    place = output / DERIVATIVES
    _write_json(place / BIDS_FILE, _description(source))
    taken: set[str] = set()
    left_out = {}
    for record in (one for one in records if one.status == DONE):
        name = derivative_name(record.case, record.task)
        if name is None or name in taken:
            left_out[record.case] = "its name is none of BIDS or that of another"
            continue
        taken.add(name)
        if not _write_case(record, place / name, case_folder(output, Case(record.case, Path(record.source)))):
            left_out[record.case] = f"that of an earlier result was edited; move {place / name}.nii.gz away"
    return left_out


def _description(source: Path) -> dict[str, Any]:
    return {
        "Name": "MultiTaskSeg segmentations",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "MultiTaskSeg", "Version": __version__}],
        "DatasetLinks": {SOURCE_LINK: source.as_uri()},
    }


def _write_case(record: CaseRecord, stem: Path, folder: Path) -> bool:
    """Whether the derivative is that of the result."""
    image, notes = stem.with_name(f"{stem.name}.nii.gz"), stem.with_name(f"{stem.name}.json")
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        labels, digest = report["labels"], report[DIGESTS][SEGMENTATION]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResourceError(f"the result cannot be read ({error})", file=folder, remedy="Remove this folder") from error
    if image.exists():
        copied = _copied(notes)
        if copied == digest:
            return True
        if digest_of(image) not in (copied, digest):
            return False
    facts = {
        "SpatialReference": "orig",
        "Manual": False,
        "Sources": [f"bids:{SOURCE_LINK}:{record.case}"],
        "GeneratedByModel": {"Name": record.model, "SHA256": record.model_sha256},
        COPIED: digest,
    }
    rows = ["index\tname", *(f"{label['value']}\t{label['name']}" for label in labels)]
    with atomic_path(stem.with_name(f"{stem.name}.tsv")) as partial:
        partial.write_text("\n".join(rows) + "\n", encoding="utf-8")
    with atomic_path(image) as partial:
        shutil.copyfile(folder / SEGMENTATION, partial)
    # Its digest comes after it: a run that is killed in between writes both once more.
    _write_json(notes, facts)
    return True


def _copied(notes: Path) -> str:
    """The digest of the result that a derivative was copied from; empty where that is not known."""
    try:
        found = json.loads(notes.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(found.get(COPIED, "")) if isinstance(found, dict) else ""


def _write_json(path: Path, facts: Mapping[str, Any]) -> None:
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
