"""Parts of a finished model fitted or written anew: spectral reference, temperatures, what is said of the data."""
