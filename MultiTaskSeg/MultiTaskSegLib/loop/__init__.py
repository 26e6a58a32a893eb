"""The loop in the panel and for scripts: correct a result, keep it for training, train, and use the new model."""
