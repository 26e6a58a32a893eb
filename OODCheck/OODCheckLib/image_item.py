"""What a batch can check: the volumes of the scene, or the images in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import slicer

from MultiTaskSegLib.image_folder import image_paths
from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.scene.image_node import image_nodes


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
        if not str(images):  # which pathlib takes for the current folder
            raise InputError("no folder was given", remedy="Choose a folder with images")
        return [ImageItem(path.name, path=path) for path in image_paths(images)]
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
    items = [ImageItem(node.GetName(), node=node) for node in image_nodes(scene)]
    if not items:
        raise InputError("there is no image in the scene", remedy="Load an image, or choose a folder")
    return items
