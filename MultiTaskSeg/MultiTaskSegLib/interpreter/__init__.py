"""Which Python the worker runs with: Slicer's own, or one of another environment. No torch and no Slicer here."""
