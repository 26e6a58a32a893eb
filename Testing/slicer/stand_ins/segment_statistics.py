"""STAND-IN for Slicer's scripted module ``SegmentStatistics``, which slicer-core lacks.

Names compared with its source (5.8 to 5.13): ``SegmentStatisticsLogic.plugins``, their ``keys``, the parameters
``Segmentation``, ``ScalarVolume``, ``visibleSegmentsOnly``, ``PLUGIN.enabled`` and ``PLUGIN.KEY.enabled`` of a node of
its own, and ``getStatistics()`` by ``(segment ID, "PLUGIN.KEY")``. Nothing is measured of an empty segment. Figures are
real where they are simple: surface as the area of the voxels' open faces.
"""

from __future__ import annotations

import numpy as np
import slicer


class LabelmapSegmentStatisticsPlugin:
    keys = ("voxel_count", "volume_mm3", "volume_cm3", "centroid_ras", "feret_diameter_mm", "surface_mm2", "roundness",
            "flatness", "elongation", "principal_moments", "obb_origin_ras", "obb_diameter_mm")  # fmt: skip

    def measure(self, inside, _values, edges_mm):
        padded, area = np.pad(inside, 1).astype(int), 0.0
        for axis, edge_mm in enumerate(edges_mm):
            area += np.abs(np.diff(padded, axis=axis)).sum() * np.prod(edges_mm) / edge_mm
        return {"voxel_count": int(inside.sum()), "surface_mm2": float(area), "obb_diameter_mm": [1.0, 2.0, 3.0]}


class ScalarVolumeSegmentStatisticsPlugin:
    keys = ("voxel_count", "volume_mm3", "volume_cm3", "min", "max", "mean", "median", "stdev")

    def measure(self, inside, values, _edges_mm):
        found = values[inside]
        return {"min": float(found.min()), "max": float(found.max()), "mean": float(found.mean())}


class SegmentStatisticsLogic:
    def __init__(self):
        self.plugins = [LabelmapSegmentStatisticsPlugin(), ScalarVolumeSegmentStatisticsPlugin()]
        self._node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        self._found = {"SegmentIDs": [], "MeasurementInfo": {}}

    def getParameterNode(self):
        return self._node

    def getStatistics(self):
        return self._found

    def computeStatistics(self):
        scene, wanted = slicer.mrmlScene, self._node.GetParameter
        segmentation, volume = (scene.GetNodeByID(wanted(name)) for name in ("Segmentation", "ScalarVolume"))
        assert wanted("visibleSegmentsOnly") == "False"
        for number in range(segmentation.GetSegmentation().GetNumberOfSegments()):
            segment_id = segmentation.GetSegmentation().GetNthSegmentID(number)
            self._found["SegmentIDs"].append(segment_id)
            inside = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume) > 0
            for plugin in self.plugins:
                name = type(plugin).__name__
                if wanted(f"{name}.enabled") == "True" and inside.any():
                    found = plugin.measure(inside, slicer.util.arrayFromVolume(volume), volume.GetSpacing()[::-1])
                    for key, value in found.items():
                        if wanted(f"{name}.{key}.enabled") == "True":
                            self._found[segment_id, f"{name}.{key}"] = value
