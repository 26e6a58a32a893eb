"""What the benchmark compares: features of an image and ways to tell from them how foreign it is."""
