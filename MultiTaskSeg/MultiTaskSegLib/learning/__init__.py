"""Trainings from within Slicer: a Python that has the trainer, its process, what it says, and the model it leaves."""
