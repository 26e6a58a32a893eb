"""What a batch can check: the volumes of the scene, or the images in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import slicer

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.scene.heatmap import COLOUR_TABLE_TAG

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"
DICOM_MARK_AT = 128
DICOM_MARK = b"DICM"
DICOM_ENDING = ".dcm"  # slices of a volume, not volumes: they count by folder


@dataclass(frozen=True)
class ImageItem:
    """One image to check.

    Attributes:
        name: what to call it.
        node: a volume of the scene, or None.
        path: a file or a folder of DICOM files, or None.
    """

    name: str
    node: slicer.vtkMRMLScalarVolumeNode | None = None
    path: Path | None = None


def image_items(images: Sequence[slicer.vtkMRMLScalarVolumeNode | str | Path] | str | Path | None) -> list[ImageItem]:
    """The images in a folder (a path), given volume nodes and paths (a list), or all images of the scene (None).

    Raises:
        InputError: there is none.
    """
    if images is None:
        return scene_items(slicer.mrmlScene)
    if isinstance(images, (str, Path)):
        return folder_items(images)
    if not images:
        raise InputError("no image was given", remedy="Give volume nodes or paths")
    return [
        ImageItem(Path(image).name, path=Path(image))
        if isinstance(image, (str, Path))
        else ImageItem(image.GetName(), node=image)
        for image in images
    ]


def scene_items(scene: slicer.vtkMRMLScene) -> list[ImageItem]:
    """All images of the scene, in its order: no label maps, and no maps that MultiTaskSeg made itself.

    Raises:
        InputError: there is none.
    """
    nodes = [
        scene.GetNthNodeByClass(index, VOLUME_CLASS) for index in range(scene.GetNumberOfNodesByClass(VOLUME_CLASS))
    ]
    items = [ImageItem(node.GetName(), node=node) for node in nodes if _is_image(node)]
    if not items:
        raise InputError("there is no image in the scene", remedy="Load an image, or choose a folder")
    return items


def folder_items(folder: str | Path) -> list[ImageItem]:
    """All images in a folder by name: its image files, itself and its subfolders if they hold DICOM files.

    Raises:
        InputError: it is no folder, cannot be read or holds no image.
    """
    from MultiTaskSegLib.runtime.image_file import image_ending

    is_given, folder = str(folder) != "", Path(folder)
    if not is_given or not folder.is_dir():
        raise InputError("there is no such folder", file=folder, remedy="Choose a folder with images")
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name.lower())
        found = [entry for entry in entries if entry.is_dir() and _holds_dicom(entry)]
        found += [entry for entry in entries if entry.is_file() and image_ending(entry) not in ("", DICOM_ENDING)]
        if _holds_dicom(folder):
            found.append(folder)
    except OSError as error:
        raise InputError(f"the folder cannot be read ({error.strerror})", file=folder, remedy="Check it") from error
    if not found:
        raise InputError("there is no image in this folder", file=folder, remedy="Choose a folder with images")
    return [ImageItem(entry.name, path=entry) for entry in sorted(found, key=lambda entry: entry.name.lower())]


def _is_image(node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    if node.GetClassName() != VOLUME_CLASS or node.GetHideFromEditors():
        return False
    display_node = node.GetDisplayNode()
    colours = display_node.GetColorNode() if display_node is not None else None
    return colours is None or colours.GetSingletonTag() != COLOUR_TABLE_TAG


def _holds_dicom(folder: Path) -> bool:
    """Whether the first file of a folder is a DICOM file: looking into all would be slow on a network drive."""
    first = min((entry for entry in folder.iterdir() if entry.is_file()), default=None)
    if first is None:
        return False
    with first.open("rb") as stream:
        return stream.read(DICOM_MARK_AT + len(DICOM_MARK))[DICOM_MARK_AT:] == DICOM_MARK
