"""What can be said about a volume before it is segmented: refusals and warnings in words, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.runtime.errors import InputError, MtsError
from MultiTaskSegLib.runtime.image.nifti_integrity import MAX_NONFINITE_FRACTION
from MultiTaskSegLib.scene import volume
from MultiTaskSegLib.scene.channel_nodes import Volumes, channel_nodes
from MultiTaskSegLib.scene.volume_sequence import browser_of
from MultiTaskSegLib.task_list import KnownTask, wanted_inputs

HARDEN, FILL, GREY = "harden", "fill", "grey"
# Ratio of voxel sizes; the network resamples to the size of its training images, but only up to MAX_UPSAMPLING = 2.
MAX_COARSER, MAX_FINER = 2.0, 8.0
MIN_SLICES = 4
LARGEST_EXTENT_MM = 2000.0  # more than a whole body
SMALLEST_EXTENT_MM = 2.0  # less than a mouse brain
DICOM_CODES = {
    "CT": {"CT"},
    "X-RAY": {"CR", "DX", "RF", "XA"},
    "ULTRASOUND": {"US"},
    "ANY CONTRAST": {"MR", "CT"},  # images drawn from label maps
}
MR_SEQUENCES = ("MR", "T1", "T2", "FLAIR", "PD", "LGE")


@dataclass(frozen=True)
class Finding:
    """One thing to know about a volume before the run.

    Attributes:
        text: in words.
        is_refusal: whether the volume cannot be segmented as it is.
        fix: what would help: `HARDEN`, `FILL` or `GREY` make a mended copy; empty where nothing can be done here.
    """

    text: str
    is_refusal: bool = False
    fix: str = ""


def inspect(volumes: Volumes, tasks: Sequence[KnownTask] = (), task: str = "auto") -> list[Finding]:
    """What is worth telling about a volume, or about the channels of one image, refusals first.

    Args:
        volumes: one, or a list with one for each channel, None for each that is not chosen yet.
        tasks: of the model.
        task: the choice.
    """
    try:
        nodes = channel_nodes(volumes, tasks, task)
    except MtsError as error:
        return [Finding(str(error), True)]
    if len(nodes) == 1:
        return _inspect_one(nodes[0], tasks, task)
    names = wanted_inputs(tasks, task) or tuple(str(number) for number in range(1, len(nodes) + 1))
    findings: list[Finding] = []
    for number, (node, name) in enumerate(zip(nodes, names, strict=True)):
        if node is None:
            findings.append(Finding(_("Choose a volume for {name}.").format(name=name), True))
            continue
        own = _inspect_one(node, tasks, task) if number == 0 else _inspect_one(node)
        # Only the first one can be mended here: a copy takes its place.
        findings += [Finding(f"{name}: {one.text}", one.is_refusal, "" if number else one.fix) for one in own]
    return sorted(findings, key=lambda finding: not finding.is_refusal)


def _inspect_one(
    volume_node: slicer.vtkMRMLScalarVolumeNode, tasks: Sequence[KnownTask] = (), task: str = "auto"
) -> list[Finding]:
    refusals = list(_refusals(volume_node))
    if refusals:
        return refusals
    considered = [known for known in tasks if known.name == task] or list(tasks)
    findings = [*_voxel_findings(volume_node), *_geometry_findings(volume_node), *_frame_findings(volume_node)]
    findings += [*_dimension_findings(volume_node, considered), *_spacing_findings(volume_node, considered)]
    findings += _modality_findings(volume_node, considered)
    return sorted(findings, key=lambda finding: not finding.is_refusal)


def dicom_codes(modality: str) -> set[str]:
    """DICOM modality codes that a task's modality stands for; empty for one that is not known here."""
    upper = modality.upper()
    if upper in DICOM_CODES:
        return DICOM_CODES[upper]
    return {"MR"} if any(upper.startswith(name) or "MRI" in upper for name in MR_SEQUENCES) else set()


def dicom_modality(volume_node: slicer.vtkMRMLVolumeNode) -> str:
    """DICOM modality of the series that a volume was loaded from, such as ``CT``; empty where it is not known."""
    scene = volume_node.GetScene()
    hierarchy = None if scene is None else slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = 0 if hierarchy is None else hierarchy.GetItemByDataNode(volume_node)
    if not item:
        return ""
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return hierarchy.GetItemAttribute(item, name) or ""


def _refusals(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Iterator[Finding]:
    try:
        volume.require_scalar_image(volume_node)
    except InputError as error:
        is_picture = volume_node is not None and volume_node.IsA("vtkMRMLVectorVolumeNode")
        yield Finding(str(error), True, GREY if is_picture else "")
        return
    try:
        volume.world_ijk_to_ras(volume_node)
    except InputError as error:
        yield Finding(str(error), True, HARDEN)
    if any(not (np.isfinite(size) and size > 0.0) for size in volume_node.GetSpacing()):
        yield Finding(_("The voxel size is not a positive number. Correct it in the Volumes module."), True)


def _voxel_findings(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Iterator[Finding]:
    bad = 1.0 - volume.finite_share(volume_node)
    if bad > MAX_NONFINITE_FRACTION:
        text = _("{percent:.2g} % of the voxels are NaN or infinite.").format(percent=100.0 * bad)
        yield Finding(text, True, FILL if bad < 1.0 else "")
        return
    if bad > 0.0:
        yield Finding(_("A few voxels are NaN or infinite; the smallest finite value will be used for them."))
    low, high = volume_node.GetImageData().GetScalarRange()
    if low == high:
        yield Finding(_("All voxels have the same value: there is nothing to segment."), True)


def _geometry_findings(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Iterator[Finding]:
    voxels = volume_node.GetImageData().GetDimensions()
    extents = [
        count * size for count, size in zip(voxels, volume.world_spacing_mm(volume_node), strict=True) if count > 1
    ]
    if extents and (max(extents) > LARGEST_EXTENT_MM or max(extents) < SMALLEST_EXTENT_MM):
        shown = " x ".join(f"{extent:.3g}" for extent in extents)
        yield Finding(
            _("The field of view is {extents} mm. Is the voxel size in millimetres right?").format(extents=shown)
        )
    if 1 < min(voxels) < MIN_SLICES:
        text = _("The volume has only {count} slices: there is little to recognise it by.").format(count=min(voxels))
        yield Finding(text)


def _frame_findings(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Iterator[Finding]:
    browser = browser_of(volume_node)
    if browser is not None and browser.GetNumberOfItems() > 1:
        yield Finding(
            _(
                "This is frame {number} of {count} of the sequence {name}: only this frame is segmented."
                " For all frames see Several images."
            ).format(
                number=browser.GetSelectedItemNumber() + 1, count=browser.GetNumberOfItems(), name=browser.GetName()
            )
        )


def _dimension_findings(
    volume_node: slicer.vtkMRMLScalarVolumeNode, considered: Sequence[KnownTask]
) -> Iterator[Finding]:
    is_planar = 1 in volume_node.GetImageData().GetDimensions()
    if considered and all(task.is_planar != is_planar for task in considered):
        text = (
            _("The image is 2-D, and what is to be segmented is for 3-D images. Choose another task or model.")
            if is_planar
            else _("The image is 3-D, and what is to be segmented is for 2-D images. Choose another task or model.")
        )
        yield Finding(text, True)


def _spacing_findings(
    volume_node: slicer.vtkMRMLScalarVolumeNode, considered: Sequence[KnownTask]
) -> Iterator[Finding]:
    spacing_mm = volume.world_spacing_mm(volume_node)  # which the network gets, parent transforms included
    sizes_mm = sorted(spacing_mm)
    known = [task for task in considered if task.spacing_zyx_mm is not None]
    if not known or 1 in volume_node.GetImageData().GetDimensions():
        return
    # Sorted, because the axes of the array may lie in any order; the worker compares them axis by axis.
    ratios = {
        task: [mine / its for mine, its in zip(sizes_mm, sorted(task.spacing_zyx_mm), strict=True)] for task in known
    }
    nearest = min(known, key=lambda task: max(abs(np.log(ratio)) for ratio in ratios[task]))
    coarsest, finest = max(ratios[nearest]), min(ratios[nearest])
    if nearest.finest_mm is not None:
        # A grid may be coarser than the images: heads with pixels of 0.4 mm are outlined on one of 4 mm.
        finest = max(finest, sizes_mm[0] / nearest.finest_mm)
    shown = " x ".join(f"{size:.2g}" for size in spacing_mm)
    if coarsest > MAX_COARSER:
        yield Finding(
            _("The voxels ({size} mm) are {factor:.1f} times coarser than those of {task}.").format(
                size=shown, factor=coarsest, task=nearest.title
            )
        )
    elif finest < 1.0 / MAX_FINER:
        yield Finding(
            _("The voxels ({size} mm) are {factor:.0f} times finer than those of {task}: is the unit right?").format(
                size=shown, factor=1.0 / finest, task=nearest.title
            )
        )


def _modality_findings(
    volume_node: slicer.vtkMRMLScalarVolumeNode, considered: Sequence[KnownTask]
) -> Iterator[Finding]:
    modality = dicom_modality(volume_node)
    is_planar = 1 in volume_node.GetImageData().GetDimensions()
    accepted = [dicom_codes(task.modality) for task in considered if task.is_planar == is_planar]
    if modality and accepted and all(codes and modality not in codes for codes in accepted):
        names = ", ".join(sorted(set().union(*accepted)))
        yield Finding(
            _("The image is {modality} according to DICOM; the training images were {names}.").format(
                modality=modality, names=names
            )
        )
