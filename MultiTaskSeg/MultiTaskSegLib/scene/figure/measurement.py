"""What Slicer's module Segment Statistics measures and a table of segments can show."""

from __future__ import annotations

from dataclasses import dataclass

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


def measurements() -> list[Measurement]:
    """All that can be chosen, in the order of the columns."""
    return [
        Measurement(LABELMAP, "surface_mm2", "Surface [mm2]"),
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


def measurements_of(columns: list[str] | tuple[str, ...]) -> list[Measurement]:
    """Those with these columns, in the order of all.

    Raises:
        KeyError: there is none of a column.
    """
    by_column = {measurement.column: measurement for measurement in measurements()}
    wanted = {by_column[column].column for column in columns}
    return [measurement for measurement in by_column.values() if measurement.column in wanted]
