"""What the headers of image files say and ITK passes over: DICOM elements, frames, units, files named elsewhere."""
