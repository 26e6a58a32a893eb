"""Experiments: matrices of independent, resumable runs, here or on a cluster."""
