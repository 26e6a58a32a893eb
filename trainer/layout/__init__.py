"""Folders in every layout that is known, as cases: where images and labels lie, and how they are read."""
