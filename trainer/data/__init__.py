"""From dataset folders to patches: reading, splitting by patient, planning, caching, augmenting."""
