"""Inference, spectral out-of-distribution detection and the model file. Needs no Slicer and no trainer."""
