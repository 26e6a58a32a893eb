"""Many images of a scene, of a folder or of a sequence: segmented or checked one after the other, and their table."""
