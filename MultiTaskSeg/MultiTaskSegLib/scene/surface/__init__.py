"""Surfaces of segments: smooth, and with the volume that the labels have."""
