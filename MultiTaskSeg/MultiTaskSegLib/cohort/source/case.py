"""One case of a cohort: what it is called in every run, what is read, and where its result lies."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from MultiTaskSegLib.runtime.errors import UsageError

NAME_CHARACTERS = 60
DIGEST_CHARACTERS = 12  # of 16 values each: names of a million cases, otherwise alike, clash with a chance of 0.2 %


@dataclass(frozen=True)
class Case:
    """An image.

    Attributes:
        identity: the same in every run: the path below the folder or the list, or the SeriesInstanceUID.
        image: the file or the folder with one DICOM series that is read.
        files: of a DICOM series that shares its folder or lies in several, its files; else none.
        problem: why it cannot even be tried; empty where it can.
    """

    identity: str
    image: Path
    files: tuple[Path, ...] = ()
    problem: str = ""

    @property
    def folder_name(self) -> str:
        """Name of the folder with the result: it depends on the identity alone, so that it stays when others come.

        >>> Case("sub-01/anat/T1w.nii.gz", Path("T1w.nii.gz")).folder_name
        'sub-01_anat_T1w.nii.gz-98bc916ca553'
        """
        plain = unicodedata.normalize("NFKD", self.identity).encode("ascii", "ignore").decode("ascii")
        shown = re.sub(r"[^A-Za-z0-9.-]+", "_", plain)[-NAME_CHARACTERS:].strip("._-")
        digest = hashlib.sha256(self.identity.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
        return f"{shown}-{digest}" if shown else digest


def require_distinct(cases: Sequence[Case]) -> None:
    """Refuse cases of which two would have one result.

    Raises:
        UsageError: two have the same identity, or folders of the same name.
    """
    seen: dict[str, Case] = {}
    for case in cases:
        # Windows and macOS do not tell names apart that differ in case alone.
        other = seen.setdefault(case.folder_name.casefold(), case)
        if other is not case:
            raise UsageError(
                f"two cases have the same name, {case.identity!r}: {other.image} and {case.image}",
                remedy="Name each once",
            )
