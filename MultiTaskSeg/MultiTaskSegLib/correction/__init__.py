"""Correcting results in the scene: which segments were changed, which uncertain regions are done, and the editors."""
