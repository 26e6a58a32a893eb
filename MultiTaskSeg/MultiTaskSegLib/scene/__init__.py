"""MRML in and out: a volume node to an image, results to a segmentation, a heatmap and node attributes."""
