"""Overlap, lesions found, and intervals by drawing patients."""
