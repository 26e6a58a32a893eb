"""nnU-Net v2 models that others trained: results folders, plans and checkpoints, read as data and never as code."""
