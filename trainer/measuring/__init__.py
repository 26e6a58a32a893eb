"""Measuring a trained network before it ships: which cases, at what pace, and what they say."""
