"""The volume of a row of the result table, loaded when it is wanted."""

from __future__ import annotations

from pathlib import Path

import slicer

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.scene.attributes import write_verdict
from OODCheckLib.result_table import file_of_row, row_role, row_texts, verdict_of_row, volume_of_row


def row_volume(table_node: slicer.vtkMRMLTableNode, row: int) -> slicer.vtkMRMLScalarVolumeNode:
    """The volume of a row; a file is loaded the first time.

    Raises:
        InputError: the volume has been removed from the scene, or the file cannot be read any more.
    """
    node = volume_of_row(table_node, row)
    if node is not None:
        return node
    path = file_of_row(table_node, row)
    if path is None:
        name = row_texts(table_node, row)["image"]
        raise InputError("the volume is no longer in the scene", file=name, remedy="Load and check it again")
    node = _load(path)
    table_node.SetNodeReferenceID(row_role(row), node.GetID())
    verdict = verdict_of_row(table_node, row)
    if verdict is not None:
        write_verdict(node, verdict)
    return node


def _load(path: Path) -> slicer.vtkMRMLScalarVolumeNode:
    """The very voxels that were checked: Slicer's own readers differ in what they make of some files."""
    from MultiTaskSegLib.runtime.image.image_file import read_image

    image: Volume = read_image(path)
    node = slicer.util.addVolumeFromArray(image.voxels, ijkToRAS=image.ijk_to_ras, name=path.name.split(".")[0])
    node.CreateDefaultDisplayNodes()
    return node
