"""Volumes, labels and legends for the scene tests; everything is asymmetric so that a flip shows."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

LEGEND = [
    {
        "value": 1,
        "name": "anterior",
        "display_name": "anterior hippocampus",
        "colour": [220, 60, 40],
        "terminology": "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure"
        "~SCT^5959005^Hippocampus~^^~Anatomic codes - DICOM master list~^^~^^",
    },
    {
        "value": 2,
        "name": "posterior",
        "display_name": "posterior hippocampus",
        "colour": [40, 120, 220],
        "terminology": "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure"
        "~SCT^91723000^Anatomical structure~^^~Anatomic codes - DICOM master list~^^~^^",
    },
]


def rotation(axis: int, degrees: float) -> np.ndarray:
    """A 3x3 rotation about one axis."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    first, second = [index for index in range(3) if index != axis]
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def ijk_to_ras(kind: str) -> np.ndarray:
    """A named geometry, 4x4, with spacing 0.8 x 1.1 x 2.5 mm."""
    directions = {
        "axial": np.diag([-1.0, -1.0, 1.0]),
        "oblique": rotation(0, 25) @ rotation(2, -40) @ np.diag([-1.0, -1.0, 1.0]),
        "flipped": np.diag([1.0, -1.0, -1.0]),
        "left-handed": np.diag([1.0, 1.0, -1.0]),
        "sagittal": np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),
    }
    matrix = np.eye(4)
    matrix[:3, :3] = directions[kind] @ np.diag([0.8, 1.1, 2.5])
    matrix[:3, 3] = [12.5, -30.0, 7.25]
    return matrix


def volume(kind: str = "axial", name: str = "Scan", shape: tuple[int, int, int] = (9, 12, 15)) -> object:
    """A scalar volume node, int16, every voxel value different from its mirror image."""
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    return slicer.util.addVolumeFromArray(voxels, ijkToRAS=ijk_to_ras(kind), name=name)


def labels(shape: tuple[int, int, int] = (9, 12, 15)) -> np.ndarray:
    """Two boxes in one corner, touching each other."""
    array = np.zeros(shape, np.uint8)
    array[1:4, 2:5, 3:9] = 1
    array[4:6, 2:5, 3:9] = 2
    return array


def linear_transform(node: object, matrix: np.ndarray) -> object:
    """Put ``node`` under a new linear transform node with the given 4x4 matrix."""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Move")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def warp_transform(node: object) -> object:
    """Put ``node`` under a new non-linear (thin plate spline) transform."""
    spline = vtk.vtkThinPlateSplineTransform()
    points, moved = vtk.vtkPoints(), vtk.vtkPoints()
    for index, point in enumerate([(0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50)]):
        points.InsertNextPoint(point)
        moved.InsertNextPoint([value + 3 * index**2 for value in point])
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(moved)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
    transform.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform
