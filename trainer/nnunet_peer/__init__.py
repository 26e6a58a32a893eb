"""nnU-Net v2, run by a Python that has it, trained and asked beside our networks as an outside peer."""
