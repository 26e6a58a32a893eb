"""From the last map to labels, uncertainty and expected Dice on the image's own grid, and as a file for Slicer."""
