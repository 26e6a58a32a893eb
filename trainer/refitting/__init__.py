"""Parts of a finished model made anew: reference, temperatures, quality, averaged weights, what is said of the data."""
