"""Calibration of probabilities, and what the uncertainty of a segmentation is worth."""
