"""Fitting what the check compares with: spectral reference and memories of cells."""
