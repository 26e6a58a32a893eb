"""Where a result goes in the subject hierarchy."""

from __future__ import annotations

import slicer


def place_beside(input_node: slicer.vtkMRMLNode, result_node: slicer.vtkMRMLNode) -> None:
    """Put a result in the folder or study of its input; does nothing where the scene has no subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(input_node.GetScene())
    if hierarchy is None:
        return
    input_item = hierarchy.GetItemByDataNode(input_node)
    if not input_item:
        return
    parent = hierarchy.GetItemParent(input_item)
    result_item = hierarchy.GetItemByDataNode(result_node)
    if result_item:
        hierarchy.SetItemParent(result_item, parent)
    else:
        hierarchy.CreateItem(parent, result_node)
