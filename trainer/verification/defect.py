"""A defect of a labelled dataset."""

from __future__ import annotations

from dataclasses import dataclass

from MultiTaskSegLib.runtime.errors import MtsError


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong, and what to do about it.

    Attributes:
        dataset: folder name.
        case: case name, empty where the whole dataset is meant.
        file: the file or folder.
        what: what is wrong.
        remedy: what to do.
        is_warning: worth knowing, but training gives correct results all the same.
    """

    dataset: str
    case: str
    file: str
    what: str
    remedy: str
    is_warning: bool = False

    def __str__(self) -> str:
        place = f"{self.dataset} {self.case}".rstrip()
        level = "warning" if self.is_warning else "defect"
        return f"{level} in {place}: {MtsError(self.what, file=self.file, remedy=self.remedy)}"
