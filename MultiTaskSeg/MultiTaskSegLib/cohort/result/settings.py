"""What a cohort's results depend on, noted in their folder, so that no result of another model comes between them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from MultiTaskSegLib.cohort.source.case_tree import SETTINGS_FILE
from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path, require_folder

SCHEMA = "multitaskseg-cohort/1"
SEGMENT, CHECK = "segment", "check"
_UNSAID = {"origin": True, "dicom_seg": False, "thorough": False}  # in folders of versions that had no such choice


@dataclass(frozen=True)
class CohortSettings:
    """The same for all cases.

    Attributes:
        command: `SEGMENT` or `CHECK`.
        model, model_sha256: whose results they are.
        task: a task's name, or ``auto``; empty for a check.
        structures: names of those that are wanted; none for all.
        origin: whether rows say when, with which scanner and where images were made.
        dicom_seg: whether results of DICOM series are written as DICOM SEG, too.
        thorough: whether further looks at changed copies of each image tell how sure its result is.
    """

    command: str
    model: str
    model_sha256: str
    task: str = ""
    structures: tuple[str, ...] = ()
    origin: bool = True
    dicom_seg: bool = False
    thorough: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values as in the file."""
        return {"schema": SCHEMA, **asdict(self), "structures": list(self.structures)}

    def require_same(self, output: Path) -> None:
        """Refuse a folder with other results; one that is not there, or empty, is none.

        Raises:
            InputError: it holds files of something else, or its settings cannot be read.
            UsageError: it belongs to another model or to other settings.
            ResourceError: a file is in its place.
        """
        require_folder(output)
        noted = read_settings(output)
        if noted is None:
            _require_empty(output)
            return
        noted = {**_UNSAID, **noted}
        mine = self.as_dict()
        differences = [f"{key} {noted.get(key)!r}, not {mine[key]!r}" for key in mine if noted.get(key) != mine[key]]
        if differences:
            raise UsageError(
                f"the folder {output} holds results of another run: {'; '.join(differences)}",
                remedy="Give another folder for the results",
            )

    def write(self, output: Path) -> None:
        """Note them in a folder.

        Raises:
            ResourceError: the file cannot be written.
        """
        with atomic_path(output / SETTINGS_FILE) as partial:
            partial.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")


def read_settings(output: Path) -> dict[str, Any] | None:
    """Plain values of a folder's settings; None where it has none.

    Raises:
        InputError: they cannot be read.
    """
    file = output / SETTINGS_FILE
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the settings of these results cannot be read ({error})",
            file=file,
            remedy="Restore the file, or give another folder for the results",
        ) from error
    if not isinstance(found, dict):
        raise InputError("the settings of these results are no object", file=file, remedy="Give another folder")
    return found


def _require_empty(output: Path) -> None:
    """Only what a run leaves that ended before it had noted its settings may lie there."""
    found = [entry.name for entry in output.iterdir() if not entry.name.startswith(".")] if output.is_dir() else []
    if found:
        raise InputError(
            f"the folder for the results holds other files ({', '.join(sorted(found)[:3])})",
            file=output,
            remedy="Give a new or empty folder",
        )
