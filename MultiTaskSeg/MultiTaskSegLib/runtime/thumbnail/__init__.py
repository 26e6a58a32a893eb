"""A small picture of a result: one slice of the image as viewers show it, with the outlines of the structures."""
