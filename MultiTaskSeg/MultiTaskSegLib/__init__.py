"""MultiTaskSeg: multi-task segmentation with calibrated uncertainty and spectral out-of-distribution detection."""

__version__ = "0.1.0"
