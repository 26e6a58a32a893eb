"""Command-line trainer of MultiTaskSeg: datasets, training, spectral reference, evaluation, experiments."""
