"""Temperatures that make probabilities mean what they say."""
