"""Parts of a finished model fitted or written anew: reference, temperatures, quality, what is said of the data."""
