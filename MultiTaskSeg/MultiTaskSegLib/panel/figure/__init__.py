"""The choice of further figures of segments, and their way out of Slicer."""
