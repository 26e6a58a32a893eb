"""A folder of images, and how OODCheck's panel is made to check it and what its table says."""

from __future__ import annotations

from pathlib import Path

import slicer

from MultiTaskSegLib.runtime.image.sitk_image import to_sitk, write_image
from MultiTaskSegLib.scene.volume import image_from_node
from Testing.slicer import scene_samples as samples


def choose_scope(widget, scope: str) -> None:
    """Choose what OODCheck is to check."""
    widget.ui.scopeComboBox.setCurrentIndex(widget.ui.scopeComboBox.findData(scope))


def write_folder(folder: Path) -> None:
    """Two images, a file that is none and an image that cannot be read."""
    image = image_from_node(samples.volume("oblique", "Template"))
    for name in ("b.nii.gz", "a.nrrd"):
        write_image(to_sitk(image.voxels, image), folder / name)
    (folder / "notes.txt").write_text("no image")
    (folder / "bad.nrrd").write_bytes(b"not a NRRD file")
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("Template"))


def cells(widget) -> list[list[str]]:
    """The texts in the table of OODCheck."""
    table = widget.ui.resultTable
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]
