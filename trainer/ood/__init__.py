"""The out-of-distribution benchmark: shifts, what is kept of each image, detectors and figures."""
