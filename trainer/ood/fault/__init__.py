"""Faults of scans and foreign parts, drawn first and then applied to the native image."""
