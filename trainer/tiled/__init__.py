"""Networks as modules over images of any size, in tiles with halos: where hooks or other precisions are needed."""
