"""Many images handed to a cohort, a process of its own, from the panel: how far it is, and its table in the scene."""
