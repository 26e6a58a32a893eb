"""Verdict, origin and image of a run, written onto a node as one, so that no part of an earlier run stays beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import slicer

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene import attributes
from MultiTaskSegLib.scene.image_record import FRAME, VOXELS, WORLD, ImageRecord, changed_since, forget_channels

ORIGIN = (
    "Version",
    "Software",
    "Created",
    "Model",
    "Model.SHA256",
    "Model.Choice",
    "Task",
    "Image",
    "Device",
    "Seconds",
    "Region",
    "Quality",
    "Quality.Figures",
    "Thorough",
    "Thorough.Figures",
)
ASKED = ("Parameters", "Found", "Warnings")


def write_record(
    node: slicer.vtkMRMLNode,
    record: ImageRecord,
    report: Mapping[str, Any],
    parameters: Mapping[str, Any] | None = None,
    further: Sequence[slicer.vtkMRMLScalarVolumeNode] = (),
) -> None:
    """Write a run onto a volume or a result: the image that it was started with, its report, and what was asked for.

    ``further`` are the volumes of the image's other channels.
    """
    clear_record(node)
    record.write(node, further)
    attributes.write_provenance(node, report, __version__, parameters)
    attributes.write_quality(node, report.get("quality"))
    attributes.write_agreement(node, report.get("thorough"))
    ood = report["ood"]
    attributes.write_verdict(node, None if ood is None else Verdict.from_dict(ood))


def clear_record(node: slicer.vtkMRMLNode) -> None:
    """Take an earlier run off a node."""
    forget_channels(node)
    kept = {f"{attributes.PREFIX}{key}" for key in (*ORIGIN, *ASKED, VOXELS, WORLD, FRAME, "OOD")}
    for name in list(node.GetAttributeNames() or ()):
        if name in kept or name.startswith(f"{attributes.PREFIX}OOD."):
            node.RemoveAttribute(name)


def current_verdict(volume_node: slicer.vtkMRMLScalarVolumeNode | None) -> Verdict | None:
    """The verdict on a volume, unless its voxels are others than those that were judged; None without one."""
    verdict = None if volume_node is None else attributes.read_verdict(volume_node)
    return None if verdict is None or changed_since(volume_node, volume_node) else verdict


def has_outdated_verdict(volume_node: slicer.vtkMRMLScalarVolumeNode | None) -> bool:
    """Whether a volume carries a verdict that is not one on the voxels that it has now."""
    return (
        volume_node is not None
        and attributes.read_verdict(volume_node) is not None
        and changed_since(volume_node, volume_node)
    )
