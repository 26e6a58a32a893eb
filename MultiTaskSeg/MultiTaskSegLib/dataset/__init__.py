"""Corrected results as cases of nnU-Net v2 folders, from which the trainer learns: written whole or not at all."""
