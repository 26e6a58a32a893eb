"""What is told of the maps of one segmentation, in a few numbers: their names."""

from __future__ import annotations

Traits = dict[str, float]
"""Figures of an image by name; NaN where there is nothing to measure, as the entropy of a structure that was not
found."""

TRAITS = (
    "expected_dice",
    "expected_dice_lowest",
    "labels_found",
    "confidence_foreground",
    "entropy",
    "entropy_foreground",
    "entropy_boundary",
    "entropy_per_foreground_voxel",
    "log_score",
)
"""What a quality estimate of a model file may rest on."""

LOWEST_SCORE, HIGHEST_SCORE = 1e-3, 1e6
"""Beyond these a score of the check says no more."""
