"""What is wanted of a volume of the scene: a region of interest, some of the structures."""
