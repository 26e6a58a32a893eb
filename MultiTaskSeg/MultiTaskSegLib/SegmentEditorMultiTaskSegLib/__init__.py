"""The effect of the Segment Editor. Slicer loads the file in here by its path and names it after this folder."""
