"""Which patient a volume shows, as the subject hierarchy knows it of volumes that were loaded from DICOM."""

from __future__ import annotations

import slicer


def patient_of(volume_node: slicer.vtkMRMLVolumeNode) -> str:
    """The DICOM Patient ID of a volume; empty where there is none, as of volumes from files."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume_node.GetScene())
    item = 0 if hierarchy is None else hierarchy.GetItemByDataNode(volume_node)
    if not item:
        return ""
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    patient = hierarchy.GetItemAncestorAtLevel(item, constants.GetDICOMLevelPatient())
    if not patient:
        return ""
    known = hierarchy.GetItemAttribute(patient, constants.GetDICOMPatientIDAttributeName())
    # Older scenes keep it as the unique identifier of the item only.
    return str(known or hierarchy.GetItemUID(patient, constants.GetDICOMUIDName()) or "").strip()
