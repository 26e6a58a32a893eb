"""STAND-IN for Slicer's scripted module ``SegmentStatistics``, which slicer-core lacks.

Names compared with its source (5.8 to 5.13): ``SegmentStatisticsLogic.plugins``, their ``keys``, the parameters
``Segmentation``, ``ScalarVolume``, ``visibleSegmentsOnly``, ``PLUGIN.enabled`` and ``PLUGIN.KEY.enabled`` of a node,
``setParameterNode``, and ``getStatistics()`` by ``(segment ID, "PLUGIN.KEY")``. A new logic takes the first parameter
node of the module that is in the scene, and makes one where there is none; what was found is kept on the node, and a
new logic forgets it. Nothing is measured of an empty segment, and all is measured in the world. Figures are real where
they are simple: surface as the area of the voxels' open faces.
"""

from __future__ import annotations

import numpy as np
import slicer

from MultiTaskSegLib.scene.volume import world_spacing_mm


class LabelmapSegmentStatisticsPlugin:
    keys = (
        *("voxel_count", "volume_mm3", "volume_cm3", "centroid_ras", "feret_diameter_mm", "surface_area_mm2"),
        *("roundness", "flatness", "elongation", "principal_moments", "obb_origin_ras", "obb_diameter_mm"),
    )

    def measure(self, inside, _values, edges_mm):
        padded, area = np.pad(inside, 1).astype(int), 0.0
        for axis, edge_mm in enumerate(edges_mm):
            area += np.abs(np.diff(padded, axis=axis)).sum() * np.prod(edges_mm) / edge_mm
        return {"voxel_count": int(inside.sum()), "surface_area_mm2": float(area), "obb_diameter_mm": [1.0, 2.0, 3.0]}


class ScalarVolumeSegmentStatisticsPlugin:
    keys = ("voxel_count", "volume_mm3", "volume_cm3", "min", "max", "mean", "median", "stdev")

    def measure(self, inside, values, _edges_mm):
        found = values[inside]
        return {"min": float(found.min()), "max": float(found.max()), "mean": float(found.mean())}


class SegmentStatisticsLogic:
    def __init__(self):
        self.plugins = [LabelmapSegmentStatisticsPlugin(), ScalarVolumeSegmentStatisticsPlugin()]
        self._node = None
        self.reset()

    def reset(self):
        self.getParameterNode().statistics = {"SegmentIDs": [], "MeasurementInfo": {}}

    def getParameterNode(self):
        if self._node is None:
            nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
            known = [node for node in nodes if node.GetAttribute("ModuleName") == "SegmentStatistics"]
            self._node = known[0] if known else slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
            self._node.SetAttribute("ModuleName", "SegmentStatistics")
        return self._node

    def setParameterNode(self, node):
        self._node = node

    def getStatistics(self):
        return self._node.statistics

    def computeStatistics(self):
        self.reset()
        statistics = self.getStatistics()
        scene, wanted = slicer.mrmlScene, self._node.GetParameter
        segmentation, volume = (scene.GetNodeByID(wanted(name)) for name in ("Segmentation", "ScalarVolume"))
        assert wanted("visibleSegmentsOnly") == "False"
        for number in range(segmentation.GetSegmentation().GetNumberOfSegments()):
            segment_id = segmentation.GetSegmentation().GetNthSegmentID(number)
            statistics["SegmentIDs"].append(segment_id)
            inside = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume) > 0
            for plugin in self.plugins:
                name = type(plugin).__name__
                if wanted(f"{name}.enabled") == "True" and inside.any():
                    edges_mm = world_spacing_mm(volume)[::-1]
                    found = plugin.measure(inside, slicer.util.arrayFromVolume(volume), edges_mm)
                    for key, value in found.items():
                        if wanted(f"{name}.{key}.enabled") == "True":
                            statistics[segment_id, f"{name}.{key}"] = value
