"""What each module registers when Slicer has started: either does without the other, which may be disabled."""

from __future__ import annotations

from MultiTaskSegLib.registration.editor_effect import register_effect
from MultiTaskSegLib.registration.hierarchy_menu import register_menu
from MultiTaskSegLib.registration.sample_data import register_sample_data


def register_segmentation() -> None:
    """Of MultiTaskSeg: the menu of a volume, the effect and the sample data; opens and installs nothing."""
    register_menu()
    register_effect()
    register_sample_data()


def register_check() -> None:
    """Of OODCheck: the menu of a volume and the sample data; opens and installs nothing."""
    register_menu()
    register_sample_data()
