"""Corrected results of the scene into a dataset: one, several, or all of them that are not there yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import slicer

from MultiTaskSegLib.correction.corrected_segment import mark_corrections, results_in
from MultiTaskSegLib.dataset.patient_group import own_key
from MultiTaskSegLib.dataset.training_case import Addition
from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.model.model_folder import model_folder
from MultiTaskSegLib.scene.attributes import PREFIX

Segmentation = slicer.vtkMRMLSegmentationNode
KEPT_AS = f"{PREFIX}Dataset.Cases"
"""Attribute of a segmentation: the case that it became, by the folder of the dataset, as JSON."""


def add_to_dataset(
    segmentations: Segmentation | Sequence[Segmentation] | None,
    folder: str | Path,
    channel_names: Sequence[str] = (),
) -> Addition:
    """Add images with their corrected segmentations to an nnU-Net v2 dataset: all or none, and nothing is overwritten.

    Args:
        segmentations: a result, several, or a segmentation that was drawn on a volume; None for all corrected results
            of the scene that are not in this dataset yet. Of these, such are left out and told whose image is in it all
            the same, or has two results.
        folder: of the dataset; made when it is not there.
        channel_names: what the channels of the images show (``["T1"]``); none for what the model says.

    Raises:
        UsageError: there is no corrected result that is not there yet.
        InputError: an image cannot be used.
        DatasetError: labels or channels do not match, or the dataset cannot be used.
        ResourceError: it cannot be written.
    """
    from MultiTaskSegLib.correction.scene_case import case_of  # SimpleITK: not when Slicer starts
    from MultiTaskSegLib.dataset.dataset_folder import add_cases

    folder = Path(folder).expanduser().absolute()
    if segmentations is None:
        chosen = corrected_results(slicer.mrmlScene, folder)
        if not chosen:
            raise UsageError(
                "no result of the scene was corrected that is not in this dataset yet",
                file=folder,
                remedy="Correct a segment first; a result that is right as it is can be added by itself",
            )
    else:
        chosen = [segmentations] if isinstance(segmentations, Segmentation) else list(segmentations)
    for node in chosen:
        if node is None:
            raise InputError("there is no segmentation to add", remedy="Select a result")
    cases = [case_of(node, channel_names) for node in chosen]
    added = add_cases(folder, cases, own_key(model_folder()), leave_out_known=segmentations is None)
    new = [node for number, node in enumerate(chosen) if number not in added.left_out]
    for node, name in zip(new, added.cases, strict=True):
        node.SetAttribute(KEPT_AS, json.dumps({**_kept(node), str(folder): name}))
    return added


def corrected_results(scene: slicer.vtkMRMLScene, folder: Path | None = None) -> list[Segmentation]:
    """Results of which a segment was corrected; without those that are in a dataset already.

    Raises:
        InputError: an image is under a transform that is not linear.
    """
    corrected = [node for node in results_in(scene) if mark_corrections(node)]
    return [node for node in corrected if folder is None or case_in(node, folder) is None]


def case_in(segmentation_node: Segmentation, folder: Path) -> str | None:
    """The case that a result is in a dataset; None where it was not added to that, or was removed from it."""
    name = _kept(segmentation_node).get(str(folder))
    is_there = name is not None and any((folder / "labelsTr").glob(f"{name}.*"))
    return name if is_there else None


def _kept(segmentation_node: Segmentation) -> dict[str, str]:
    kept: dict[str, str] = json.loads(segmentation_node.GetAttribute(KEPT_AS) or "{}")
    return kept
