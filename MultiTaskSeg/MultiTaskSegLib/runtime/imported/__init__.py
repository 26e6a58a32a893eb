"""Models that others trained, as model files of our own: written by an import, read strictly, run patch by patch."""
