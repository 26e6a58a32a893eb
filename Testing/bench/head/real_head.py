"""The list of real heads: whose they are, and what they may be used for."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

TABLE = "heads.csv"
# The same person under several contrasts and visits; other names stand for one person each.
PEOPLE = ("ms_p[0-9]+", "tcga[0-9]+", "adi", "remind", "brainix", "uih", "kirby[0-9]+")


@dataclass(frozen=True)
class RealHead:
    """One image.

    Attributes:
        path: of the image.
        person: whose head it is.
        modality: for example ``T1+Gd``.
        has_skull: whether it is a whole head.
        labels: file of anatomy labels, or None.
        may_be_known: whether released models may carry statistics of it.
        licence: as its source states it; empty where the table has none.
    """

    path: Path
    person: str
    modality: str
    has_skull: bool
    labels: Path | None
    may_be_known: bool
    licence: str = ""


def read_heads(folder: Path) -> list[RealHead]:
    """The rows of ``heads.csv`` in a folder."""
    with (folder / TABLE).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [
        RealHead(
            folder / row["file"],
            person_of(row["file"]),
            row["modality"],
            row["skull"] == "yes",
            None if row["labels"] == "none" else folder / row["labels"],
            row["released_reference_may_use"] == "True",
            row.get("licence as stated", ""),
        )
        for row in rows
    ]


def person_of(file: str) -> str:
    """Whose head a file shows, from its name.

    >>> person_of("FLAIR_ms_p03_s1.nii.gz"), person_of("T1_uih_a.nii.gz"), person_of("ss_T1_eun.nii.gz")
    ('ms_p03', 'uih', 'ss_T1_eun')
    """
    for pattern in PEOPLE:
        if found := re.search(f"_({pattern})(?![0-9])", file):
            return found[1]
    return file.removesuffix(".nii.gz")
