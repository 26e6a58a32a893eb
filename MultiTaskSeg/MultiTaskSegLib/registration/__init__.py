"""What the extension adds to other places of Slicer: menu of a volume, Segment Editor effect, sample data."""
