"""Results as DICOM objects that Slicer itself does not write."""
