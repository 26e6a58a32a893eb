"""What stored pixel values are besides what they show: grey that is stored in colours, ripples of a compression."""
