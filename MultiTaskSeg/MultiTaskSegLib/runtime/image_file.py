"""Read an image from Python: the door to `image.image_file`."""

from __future__ import annotations

from MultiTaskSegLib.runtime.image.image_file import image_ending, read_image, read_label_map, require_contrast

__all__ = ["image_ending", "read_image", "read_label_map", "require_contrast"]
