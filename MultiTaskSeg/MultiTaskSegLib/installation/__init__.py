"""Packages that Slicer's Python lacks, installed with the user's consent."""
