"""A model as one data file: manifest, checks of what it claims, model card, the released ones."""
