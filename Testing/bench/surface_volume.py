"""How much of their voxels' volume surfaces hold: ``python -m Testing.bench.surface_volume LABELS...`` (label files).

For Slicer's surfaces, and for those that the panel makes of them, with the default smoothing and the strongest.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.volume import LPS_TO_RAS
from MultiTaskSegLib.scene.segmentation import add_segmentation
from MultiTaskSegLib.scene.surface.kept_volume import surface_volume_mm3
from MultiTaskSegLib.scene.surface.surfaces import SURFACE, show_3d
from Testing.slicer.mrml_session import MrmlSession


def segmentation_of(path: Path) -> tuple[slicer.vtkMRMLSegmentationNode, dict[str, float]]:
    """The labels of a file as a segmentation, and the volume of each in cubic millimetres."""
    stored = sitk.ReadImage(str(path))
    labels: NDArray[np.uint8] = sitk.GetArrayFromImage(stored).astype(np.uint8)
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(stored.GetDirection(), (3, 3)) @ np.diag(stored.GetSpacing())
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", path.name)
    slicer.util.updateVolumeFromArray(volume, labels.astype(np.int16))
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(LPS_TO_RAS @ matrix))
    values = [int(value) for value in np.unique(labels) if value]
    legend = [
        {"value": n, "name": str(n), "display_name": str(n), "colour": (9, 9, 9), "terminology": ""} for n in values
    ]
    voxel_mm3 = float(np.prod(stored.GetSpacing()))
    node = add_segmentation(volume, labels, legend, path.name)
    return node, {str(value): float((labels == value).sum()) * voxel_mm3 for value in values}


def losses_percent(node: slicer.vtkMRMLSegmentationNode, volumes_mm3: dict[str, float]) -> list[float]:
    """By how much each surface misses the volume of its voxels."""
    surfaces = {name: node.GetSegmentation().GetSegment(name).GetRepresentation(SURFACE) for name in volumes_mm3}
    return [100 * abs(surface_volume_mm3(surfaces[name]) / size - 1) for name, size in volumes_mm3.items()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How much of their voxels' volume surfaces hold.")
    parser.add_argument("labels", type=Path, nargs="+", metavar="LABELS")
    paths = parser.parse_args().labels
    session = MrmlSession()
    for smoothing in (0.5, 1.0):
        plain, kept = [], []
        for path in paths:
            node, volumes_mm3 = segmentation_of(path)
            node.GetSegmentation().SetConversionParameter("Smoothing factor", f"{smoothing:g}")
            node.CreateClosedSurfaceRepresentation()
            plain += losses_percent(node, volumes_mm3)
            node.RemoveClosedSurfaceRepresentation()
            show_3d(node)
            kept += losses_percent(node, volumes_mm3)
            slicer.mrmlScene.RemoveNode(node)
        for name, found in (("Slicer's", plain), ("ours", kept)):
            worst, mean = max(found), sum(found) / len(found)
            sys.stdout.write(f"smoothing {smoothing}, {name}: worst {worst:.2f} %, mean {mean:.2f} % of {len(found)}\n")
    session.close()


if __name__ == "__main__":
    main()
