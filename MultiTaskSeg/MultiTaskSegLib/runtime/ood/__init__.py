"""Is an image like the training images, and where not: spectra, signatures, reference, memories of cells, verdict."""
