"""Which model an image goes to, and where and in how large parts it runs so that memory suffices."""
