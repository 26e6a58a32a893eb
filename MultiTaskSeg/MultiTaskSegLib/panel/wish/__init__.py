"""Parts of the panel that say what is wanted of an image: a region of interest, some of the structures."""
