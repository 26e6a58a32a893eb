"""Measuring a trained network as it ships: which cases, at what pace, and what they say on their own grids."""
