"""Phantom images made by code: anatomies drawn from a seed, scanned with realistic faults, labelled exactly."""
