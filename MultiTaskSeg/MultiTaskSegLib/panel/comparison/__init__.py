"""The comparison of a result with a reference, in the panel."""
