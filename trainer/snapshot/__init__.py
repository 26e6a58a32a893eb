"""Snapshot ensembles: several networks of one training, by a learning rate that falls in cycles."""
