"""The verdict and the origin of a result as node attributes, which are saved with the scene."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import slicer

from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.node.software import software_versions
from MultiTaskSegLib.verdict_words import UNCHECKED

PREFIX = "MultiTaskSeg."
OOD_WARNING = "OUT OF DISTRIBUTION"
NOTHING = "nothing"
FOUND_WORDS = {True: "something", False: NOTHING}
VERDICT_WORDS = {True: "out of distribution", False: "in distribution"}


def write_verdict(node: slicer.vtkMRMLNode, verdict: Verdict | None) -> None:
    """Write the verdict onto a node, in words and as exact JSON; without one, that nothing was checked."""
    if verdict is None:
        write(node, {"OOD": UNCHECKED})
        return
    write(
        node,
        {
            "OOD": VERDICT_WORDS[bool(verdict.is_ood)],
            "OOD.Score": f"{verdict.score:.6g}",
            "OOD.Threshold": f"{verdict.threshold:.6g}",
            "OOD.PValue": f"{verdict.p_value:.6g}",
            "OOD.NearestTask": verdict.nearest_task,
            "OOD.Verdict": json.dumps(verdict.as_dict()),
        },
    )


def read_verdict(node: slicer.vtkMRMLNode) -> Verdict | None:
    """The verdict that was written onto a node, or None."""
    text = node.GetAttribute(f"{PREFIX}OOD.Verdict")
    return None if text is None else Verdict.from_dict(json.loads(text))


def write_quality(node: slicer.vtkMRMLNode, quality: Mapping[str, Any] | None) -> None:
    """Write the answer to whether a result is good onto a node, and all that the report says of it as JSON."""
    if quality is not None:
        write(node, {"Quality": str(quality["answer"]), "Quality.Figures": json.dumps(dict(quality))})


def read_quality(node: slicer.vtkMRMLNode) -> dict[str, Any] | None:
    """What the report of a result says of its quality; None where it says nothing."""
    text = node.GetAttribute(f"{PREFIX}Quality.Figures")
    quality: dict[str, Any] | None = None if text is None else json.loads(text)
    return quality


def write_agreement(node: slicer.vtkMRMLNode, thorough: Mapping[str, Any] | None) -> None:
    """Write what the thorough check of a result found onto a node; nothing where there was none."""
    if thorough is not None:
        write(node, {"Thorough": str(thorough["answer"]), "Thorough.Figures": json.dumps(dict(thorough))})


def read_agreement(node: slicer.vtkMRMLNode) -> dict[str, Any] | None:
    """What the thorough check of a result found; None where there was none."""
    text = node.GetAttribute(f"{PREFIX}Thorough.Figures")
    thorough: dict[str, Any] | None = None if text is None else json.loads(text)
    return thorough


def is_unchecked(node: slicer.vtkMRMLNode) -> bool:
    """Whether a node is a result whose image could not be checked."""
    return node.GetAttribute(f"{PREFIX}OOD") == UNCHECKED


def write_provenance(
    node: slicer.vtkMRMLNode,
    report: Mapping[str, Any],
    version: str,
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Write what made a result, when, from which image, on which device, with which settings and warnings.

    ``parameters`` is what was asked for: task, model file, device and the like.
    """
    model = report.get("model", {})
    values = {
        "Version": version,
        "Software": json.dumps(software_versions(version)),
        "Created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "Model": model.get("name"),
        "Model.SHA256": model.get("sha256"),
        "Model.Choice": model.get("choice", {}).get("sentence"),
        "Task": report.get("task"),
        "Image": report.get("image"),
        "Device": report.get("device"),
        "Seconds": report.get("timings", {}).get("total_s"),
        "Parameters": None if parameters is None else json.dumps(dict(parameters)),
        "Region": json.dumps(report["region"]) if "region" in report else None,
        "Found": FOUND_WORDS[found_something(report["labels"])] if "labels" in report else None,
        "Warnings": json.dumps(report["warnings"]) if "warnings" in report else None,
    }
    write(node, {key: str(value) for key, value in values.items() if value is not None})


def found_something(labels: Sequence[Mapping[str, Any]]) -> bool:
    """Whether any label of a report has voxels."""
    return any(label["voxels"] for label in labels)


def write(node: slicer.vtkMRMLNode, values: Mapping[str, str]) -> None:
    """Set one attribute ``MultiTaskSeg.KEY`` per item."""
    for key, value in values.items():
        node.SetAttribute(f"{PREFIX}{key}", value)


def flagged_name(name: str, verdict: Verdict | None) -> str:
    """The name of a result; that of an out-of-distribution image carries the warning wherever it is shown."""
    return f"{name} [{OOD_WARNING}]" if verdict is not None and verdict.is_ood else name
