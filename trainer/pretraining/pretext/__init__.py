"""The pretext tasks of self-supervised learning."""
