"""The choice of the worker's Python, in the panel."""
