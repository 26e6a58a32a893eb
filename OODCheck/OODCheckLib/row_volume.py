"""The volume of a row of the result table, loaded when it is wanted."""

from __future__ import annotations

from pathlib import Path

import slicer

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.scene.batch.batch_table import batch_rows_of, row_role
from MultiTaskSegLib.scene.image_record import ImageRecord
from MultiTaskSegLib.scene.node.added_nodes import all_or_nothing
from MultiTaskSegLib.scene.result_record import write_record
from MultiTaskSegLib.typed_error import typed_errors
from OODCheckLib.result_table import volume_of_row


@typed_errors()
def row_volume(table_node: slicer.vtkMRMLTableNode, row: int) -> slicer.vtkMRMLScalarVolumeNode:
    """The volume of a row; a file is loaded the first time.

    Raises:
        InputError: the volume has been removed from the scene, or the file cannot be read any more.
    """
    node = volume_of_row(table_node, row)
    if node is not None:
        return node
    found = batch_rows_of(table_node)[row]
    if not found.file:
        raise InputError("the volume is no longer in the scene", file=found.image, remedy="Load and check it again")
    with all_or_nothing(table_node.GetScene()):
        node = _load(Path(found.file))
    table_node.SetNodeReferenceID(row_role(row), node.GetID())
    if found.ood is not None:
        model = {"name": found.model, "sha256": found.model_sha256}
        report = {"image": found.image, "model": model, "ood": found.ood.as_dict(), "warnings": list(found.warnings)}
        write_record(node, ImageRecord.of(node), report)
    return node


def _load(path: Path) -> slicer.vtkMRMLScalarVolumeNode:
    """The very voxels that were checked: Slicer's own readers differ in what they make of some files."""
    from MultiTaskSegLib.runtime.image.image_file import read_image

    image: Volume = read_image(path)
    node = slicer.util.addVolumeFromArray(image.voxels, ijkToRAS=image.ijk_to_ras, name=path.name.split(".")[0])
    node.CreateDefaultDisplayNodes()
    return node
