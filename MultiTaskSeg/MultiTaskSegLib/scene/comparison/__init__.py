"""A result beside another segmentation of the same image: how far both agree, and where not."""
