"""Folder layouts that are read as they are, without conversion."""
