"""The convolutional network, and ways to run it over an image of any size: slabs, strips, back ends."""
