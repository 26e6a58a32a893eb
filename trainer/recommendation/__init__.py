"""Which model to start from, without training any."""
