"""The whole story on data made by code, with pictures."""
