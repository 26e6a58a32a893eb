"""Parts of a finished model fitted anew: spectral reference, temperatures."""
