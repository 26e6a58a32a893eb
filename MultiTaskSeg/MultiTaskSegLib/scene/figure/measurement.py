"""What Slicer's module Segment Statistics measures and a table of segments can show."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from MultiTaskSegLib.runtime.errors import UsageError

LABELMAP, INTENSITY = "LabelmapSegmentStatisticsPlugin", "ScalarVolumeSegmentStatisticsPlugin"


@dataclass(frozen=True)
class Measurement:
    """One figure of a segment.

    Attributes:
        plugin: of Segment Statistics that measures it.
        key: by which the plugin calls it.
        column: of tables, the same in every language.
    """

    plugin: str
    key: str
    column: str

    @property
    def long_key(self) -> str:
        """By which Segment Statistics keeps it."""
        return f"{self.plugin}.{self.key}"

    @property
    def is_length(self) -> bool:
        """Whether it is in millimetres, or square ones."""
        return "[mm" in self.column


def measurements() -> list[Measurement]:
    """All that can be chosen, in the order of the columns."""
    return [
        Measurement(LABELMAP, "surface_area_mm2", "Surface [mm2]"),
        Measurement(LABELMAP, "feret_diameter_mm", "Feret diameter [mm]"),
        Measurement(LABELMAP, "roundness", "Roundness"),
        Measurement(LABELMAP, "flatness", "Flatness"),
        Measurement(LABELMAP, "elongation", "Elongation"),
        Measurement(INTENSITY, "min", "Minimum intensity"),
        Measurement(INTENSITY, "max", "Maximum intensity"),
        Measurement(INTENSITY, "mean", "Mean intensity"),
        Measurement(INTENSITY, "median", "Median intensity"),
        Measurement(INTENSITY, "stdev", "Standard deviation of intensity"),
    ]


def measurements_of(columns: Sequence[str]) -> list[Measurement]:
    """Those with these columns, in the order of all.

    Raises:
        UsageError: there is none of a column.
    """
    known = {measurement.column: measurement for measurement in measurements()}
    unknown = next((column for column in columns if column not in known), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, known) or known
        raise UsageError(f"there is no figure '{unknown}'", remedy=f"Known are {', '.join(near)}")
    return [measurement for measurement in known.values() if measurement.column in columns]
