"""From prepared data to a model file: losses, optimiser, checkpoints, validation, finishing."""
