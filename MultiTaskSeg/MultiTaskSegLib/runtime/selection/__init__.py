"""What of an image and of its task is wanted: a region instead of the whole, some structures instead of all."""
