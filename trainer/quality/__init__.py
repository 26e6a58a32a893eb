"""What a model file says of the quality of its results: learnt on held-out images, clean and spoilt."""
