"""The verdict and the origin of a result as node attributes, which are saved with the scene."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import slicer

PREFIX = "MultiTaskSeg."
OOD_WARNING = "OUT OF DISTRIBUTION"
VERDICT_WORDS = {True: "out of distribution", False: "in distribution"}


def write_verdict(node: slicer.vtkMRMLNode, ood: Mapping[str, Any]) -> None:
    """Write the verdict (the ``ood`` part of a report) onto a node, in words and as exact JSON."""
    write(
        node,
        {
            "OOD": VERDICT_WORDS[bool(ood["is_ood"])],
            "OOD.Score": f"{ood['score']:.6g}",
            "OOD.Threshold": f"{ood['threshold']:.6g}",
            "OOD.PValue": f"{ood['p_value']:.6g}",
            "OOD.NearestTask": str(ood["nearest_task"]),
            "OOD.Verdict": json.dumps(dict(ood)),
        },
    )


def read_verdict(node: slicer.vtkMRMLNode) -> dict[str, Any] | None:
    """The verdict that was written onto a node, or None."""
    text = node.GetAttribute(f"{PREFIX}OOD.Verdict")
    return None if text is None else json.loads(text)


def write_provenance(node: slicer.vtkMRMLNode, report: Mapping[str, Any], version: str) -> None:
    """Write which model and software made a result, from which image, on which device, with which warnings."""
    model = report.get("model", {})
    write(
        node,
        {
            "Version": version,
            "Model": str(model.get("name", "")),
            "Model.SHA256": str(model.get("sha256", "")),
            "Task": str(report.get("task", "")),
            "Image": str(report.get("image", "")),
            "Device": str(report.get("device", "")),
            "Warnings": json.dumps(report.get("warnings", [])),
        },
    )


def write(node: slicer.vtkMRMLNode, values: Mapping[str, str]) -> None:
    """Set one attribute ``MultiTaskSeg.KEY`` per item."""
    for key, value in values.items():
        node.SetAttribute(f"{PREFIX}{key}", value)


def flagged_name(name: str, ood: Mapping[str, Any]) -> str:
    """The name of a result; that of an out-of-distribution image carries the warning wherever it is shown."""
    return f"{name} [{OOD_WARNING}]" if ood["is_ood"] else name
