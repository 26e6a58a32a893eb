"""Puts the effect into the Segment Editor."""

from __future__ import annotations

import importlib
from pathlib import Path

import slicer

EFFECT_FOLDER = "SegmentEditorMultiTaskSegLib"  # Slicer names the loaded module after it
EFFECT_FILE = Path(__file__).resolve().parent.parent / EFFECT_FOLDER / "SegmentEditorEffect.py"


def register_effect() -> bool:
    """Register the effect with Slicer, once; whether it was new. For when the application has started."""
    if hasattr(slicer, EFFECT_FOLDER):  # where Slicer keeps the object that it has made
        return False
    effects = importlib.import_module("qSlicerSegmentationsEditorEffectsPythonQt")
    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    if not effect.setPythonSource(EFFECT_FILE.as_posix()):
        return False
    effect.self().register()
    return True
