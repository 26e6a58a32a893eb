"""Pre-training: pretext tasks, model files to start from, and fine-tuning."""
