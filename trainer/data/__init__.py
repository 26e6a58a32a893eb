"""From dataset folders to patches: reading, verifying, splitting by patient, planning, caching, augmenting."""
