"""Which model an image goes to, which one is loaded, and where and in how large parts it runs so that memory suffices."""
