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

DERIVATIVES = "bids"
BIDS_VERSION = "1.9.0"
SOURCE_LINK = "raw"
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


def write_derivatives(records: Sequence[CaseRecord], source: Path, output: Path) -> list[str]:
    """Write the segmentations of all finished cases; those that are there stay.

    They are copies: who corrects one leaves the result as the model made it.

    Args:
        records: of all cases.
        source: the BIDS dataset.
        output: folder of the results.

    Returns:
        Cases that are done and have none: their file has no name of BIDS, or one that differs from another's in its
        ending alone.

    Raises:
        ResourceError: a file cannot be written, or a result cannot be read.
    """
    place = output / DERIVATIVES
    _write_json(place / BIDS_FILE, _description(source))
    taken: set[str] = set()
    left_out = []
    for record in (one for one in records if one.status == DONE):
        name = derivative_name(record.case, record.task)
        if name is None or name in taken:
            left_out.append(record.case)
            continue
        taken.add(name)
        _write_case(record, place / name, case_folder(output, Case(record.case, Path(record.source))))
    return left_out


def _description(source: Path) -> dict[str, Any]:
    return {
        "Name": "MultiTaskSeg segmentations",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "MultiTaskSeg", "Version": __version__}],
        "DatasetLinks": {SOURCE_LINK: source.as_uri()},
    }


def _write_case(record: CaseRecord, stem: Path, folder: Path) -> None:
    image = stem.with_name(f"{stem.name}.nii.gz")
    if image.exists():
        return
    try:
        labels = json.loads((folder / REPORT).read_text(encoding="utf-8"))["labels"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResourceError(f"the result cannot be read ({error})", file=folder, remedy="Remove this folder") from error
    facts = {
        "SpatialReference": "orig",
        "Manual": False,
        "Sources": [f"bids:{SOURCE_LINK}:{record.case}"],
        "GeneratedByModel": {"Name": record.model, "SHA256": record.model_sha256},
    }
    _write_json(stem.with_name(f"{stem.name}.json"), facts)
    rows = ["index\tname", *(f"{label['value']}\t{label['name']}" for label in labels)]
    with atomic_path(stem.with_name(f"{stem.name}.tsv")) as partial:
        partial.write_text("\n".join(rows) + "\n", encoding="utf-8")
    # The image comes last: where it is, the files beside it are, too.
    with atomic_path(image) as partial:
        shutil.copyfile(folder / SEGMENTATION, partial)


def _write_json(path: Path, facts: Mapping[str, Any]) -> None:
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
