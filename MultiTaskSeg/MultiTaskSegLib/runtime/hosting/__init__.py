"""Which model is loaded, and where and in how large parts it runs so that memory suffices."""
