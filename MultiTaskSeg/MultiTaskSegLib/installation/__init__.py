"""Packages that Slicer's Python lacks, installed with the user's consent, and self-tests that do without them."""
