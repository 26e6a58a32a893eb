"""What the buttons of the loop do, for the logic of the module and with it for Slicer's Python console."""

from __future__ import annotations

from MultiTaskSegLib.correction.corrected_segment import mark_corrections
from MultiTaskSegLib.correction.correcting import correct
from MultiTaskSegLib.correction.keeping import add_to_dataset
from MultiTaskSegLib.correction.region_worklist import RegionWorklist
from MultiTaskSegLib.learning.shared_training import current_training
from MultiTaskSegLib.loop.learning import train

__all__ = ["RegionWorklist", "add_to_dataset", "correct", "current_training", "mark_corrections", "train"]
