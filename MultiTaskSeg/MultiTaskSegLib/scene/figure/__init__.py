"""Figures of segments beyond those of the model: what Slicer's Segment Statistics measures."""
