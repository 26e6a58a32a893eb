"""Names, colours, terminology, the heatmap's display, the attributes, and all of it after saving the scene."""

from __future__ import annotations

import dataclasses
import json
import struct
from datetime import datetime, timezone

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from MultiTaskSegLib.runtime.model.released import released_model
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene import attributes, heatmap, slice_layers
from MultiTaskSegLib.scene.node.placement import place_beside
from MultiTaskSegLib.scene.segmentation import add_segmentation
from MultiTaskSegLib.scene.surface.surfaces import show_3d
from Testing.slicer import scene_samples as samples

OOD = Verdict(True, 0.8125, 0.25, 0.0099, "hippocampus_t1", {"hippocampus_t1": 0.8125, "heart": 1.5})
REPORT = {
    "schema": 1,
    "image": "Scan",
    "model": {"name": "mr3d", "sha256": "ab" * 32},
    "task": "hippocampus_t1",
    "device": "cpu",
    "timings": {"total_s": 1.5},
    "labels": [{"value": 1, "voxels": 3}],
    "ood": OOD.as_dict(),
    "warnings": ["größer als üblich"],
}
pytestmark = pytest.mark.usefixtures("session")


def released_models() -> list:
    return [released_model(planar) for planar in (False, True)]


def labels_of(path) -> list[dict]:
    """All labels in the header of a model file."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    manifest = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["manifest"])
    return [label for task in manifest["tasks"] for label in task["labels"]]


def shown_rgba(volume_node) -> np.ndarray:
    """Exactly what a slice view blends: the RGBA image of the display node, ``(Z, Y, X, 4)``."""
    producer = volume_node.GetDisplayNode().GetImageDataConnection().GetProducer()
    producer.Update()
    image = producer.GetOutputDataObject(0)
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(*reversed(image.GetDimensions()), 4)


def hierarchy_parent(hierarchy, node) -> int:
    return hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))


def test_segments_have_the_names_colours_and_terminology_of_the_legend():
    node = add_segmentation(samples.volume(), samples.labels(), samples.LEGEND, "Result")
    segmentation = node.GetSegmentation()
    assert list(segmentation.GetSegmentIDs()) == ["anterior", "posterior"]
    for entry in samples.LEGEND:
        segment = segmentation.GetSegment(entry["name"])
        assert segment.GetName() == entry["display_name"]
        np.testing.assert_allclose(np.array(segment.GetColor()) * 255, entry["colour"], atol=1e-9)
        assert segment.GetTerminology() == entry["terminology"]


def test_a_structure_that_was_not_found_is_an_empty_segment_and_not_missing():
    labels = np.where(samples.labels() == 1, 1, 0).astype(np.uint8)
    node = add_segmentation(samples.volume(), labels, samples.LEGEND, "Result")
    assert node.GetSegmentation().GetNumberOfSegments() == 2
    assert not slicer.util.arrayFromSegmentBinaryLabelmap(node, "posterior").any()


def test_the_reference_geometry_is_that_of_the_volume():
    volume = samples.volume("oblique")
    node = add_segmentation(volume, samples.labels(), samples.LEGEND, "Result")
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume


def test_surfaces_are_made_on_request_at_the_place_of_the_segment():
    volume = samples.volume("oblique")
    node = add_segmentation(volume, samples.labels(), samples.LEGEND, "Result")
    show_3d(node)
    surface = vtk.vtkPolyData()
    node.GetClosedSurfaceRepresentation("anterior", surface)
    centre_ijk = np.argwhere(samples.labels() == 1).mean(axis=0)[::-1]
    centre_ras = (samples.ijk_to_ras("oblique") @ [*centre_ijk, 1.0])[:3]
    bounds = np.array(surface.GetBounds()).reshape(3, 2)
    np.testing.assert_allclose(bounds.mean(axis=1), centre_ras, atol=0.5)


def test_the_heatmap_shows_each_value_in_the_colour_of_the_table_and_low_ones_not_at_all():
    volume = samples.volume(shape=(1, 1, 256))
    node = heatmap.add_heatmap(volume, (np.arange(256, dtype=np.float32) / 255).reshape(1, 1, 256), "Uncertainty")
    rgba = shown_rgba(node)[0, 0]
    values = np.arange(256) / 255
    visible = values >= heatmap.DEFAULT_THRESHOLD
    np.testing.assert_array_equal(rgba[:, 3], np.where(visible, 255, 0))
    expected = heatmap.colour_values() * 255
    assert np.abs(rgba[visible, :3].astype(float) - expected[visible]).max() <= 4.0  # one step of the table


def test_the_threshold_of_the_heatmap_can_be_moved():
    volume = samples.volume(shape=(1, 1, 5))
    node = heatmap.add_heatmap(volume, np.array([[[0.0, 0.2, 0.4, 0.6, 1.0]]], np.float32), "Uncertainty")
    heatmap.set_threshold(node, 0.5)
    np.testing.assert_array_equal(shown_rgba(node)[0, 0, :, 3], [0, 0, 0, 255, 255])


def test_the_window_of_the_heatmap_does_not_depend_on_its_values():
    volume = samples.volume(shape=(1, 1, 3))
    low = heatmap.add_heatmap(volume, np.array([[[0.2, 0.3, 0.4]]], np.float32), "low").GetDisplayNode()
    assert (low.GetWindowLevelMin(), low.GetWindowLevelMax(), low.GetAutoWindowLevel()) == (0.0, 1.0, 0)


def test_the_colours_get_steadily_brighter():
    luminance = heatmap.colour_values() @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(luminance) > 0)


def test_all_heatmaps_share_one_named_colour_table_and_each_has_a_legend():
    volume = samples.volume(shape=(1, 1, 3))
    nodes = [heatmap.add_heatmap(volume, np.zeros((1, 1, 3), np.float32), name) for name in "ab"]
    tables = {node.GetDisplayNode().GetColorNode() for node in nodes}
    assert [table.GetName() for table in tables] == [heatmap.COLOUR_TABLE_NAME]
    legends = [slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node) for node in nodes]
    assert [legend.GetTitleText() for legend in legends] == ["Uncertainty"] * 2


def test_the_heatmap_becomes_the_foreground_over_the_volume(session):
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(session.application_logic)
    logic.SetMRMLScene(session.scene)
    logic.AddSliceNode("Red")
    volume = samples.volume()
    node = heatmap.add_heatmap(volume, np.zeros((9, 12, 15), np.float32), "Uncertainty")
    slice_layers.show_heatmap(volume, node, 0.4)
    composite = logic.GetSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == volume.GetID()
    assert composite.GetForegroundVolumeID() == node.GetID()
    assert composite.GetForegroundOpacity() == pytest.approx(0.4)
    slice_layers.show_heatmap(volume, node, 0.0)
    assert not slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node).GetVisibility()


def test_results_are_placed_beside_their_input_in_the_subject_hierarchy(session):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(session.scene)
    study = hierarchy.CreateStudyItem(hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient"), "Study")
    volume = samples.volume()
    hierarchy.CreateItem(study, volume)
    segmentation = add_segmentation(volume, samples.labels(), samples.LEGEND, "Result")
    overlay = heatmap.add_heatmap(volume, np.zeros((9, 12, 15), np.float32), "Uncertainty")
    assert hierarchy_parent(hierarchy, segmentation) == hierarchy_parent(hierarchy, overlay) == study


def test_a_result_that_already_is_in_the_subject_hierarchy_is_moved_beside_its_input(session):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(session.scene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Folder")
    volume, result = samples.volume(name="input"), samples.volume(name="result")
    hierarchy.CreateItem(folder, volume)
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), result)  # Slicer makes one for every new node
    place_beside(volume, result)
    assert hierarchy.GetItemByDataNode(result) == item
    assert hierarchy_parent(hierarchy, result) == folder


def test_an_out_of_distribution_result_carries_the_warning_in_its_name():
    assert attributes.flagged_name("Scan segmentation", OOD) == "Scan segmentation [OUT OF DISTRIBUTION]"
    assert attributes.flagged_name("Scan segmentation", dataclasses.replace(OOD, is_ood=False)) == "Scan segmentation"


def test_the_verdict_is_read_back_exactly_and_is_also_there_in_words():
    volume = samples.volume()
    assert attributes.read_verdict(volume) is None
    attributes.write_verdict(volume, OOD)
    assert attributes.read_verdict(volume) == OOD
    assert volume.GetAttribute("MultiTaskSeg.OOD") == "out of distribution"
    assert volume.GetAttribute("MultiTaskSeg.OOD.NearestTask") == "hippocampus_t1"


def test_every_attribute_is_explained_in_the_documentation(repository):
    volume = samples.volume()
    attributes.write_verdict(volume, OOD)
    attributes.write_provenance(volume, REPORT, "0.1.0", {"task": "auto"})
    written = {name for name in volume.GetAttributeNames() if name.startswith(attributes.PREFIX)}
    explained = (repository / "docs" / "slicer.md").read_text(encoding="utf-8")
    assert len(written) == 18
    assert [name for name in sorted(written) if f"`{name.removeprefix(attributes.PREFIX)}`" not in explained] == []


def test_the_provenance_tells_software_time_and_what_was_asked_for():
    volume = samples.volume()
    attributes.write_provenance(volume, REPORT, "0.1.0", {"task": "auto", "device": "cuda"})
    software = json.loads(volume.GetAttribute("MultiTaskSeg.Software"))
    assert software["MultiTaskSeg"] == "0.1.0"
    assert software["numpy"] == np.__version__
    assert software["Slicer"] == slicer.app.applicationVersion
    created = datetime.fromisoformat(volume.GetAttribute("MultiTaskSeg.Created"))
    assert abs((datetime.now(timezone.utc) - created).total_seconds()) < 60
    assert json.loads(volume.GetAttribute("MultiTaskSeg.Parameters")) == {"task": "auto", "device": "cuda"}
    assert volume.GetAttribute("MultiTaskSeg.Seconds") == "1.5"


def test_the_terminology_of_every_released_task_has_seven_parts_and_survives_a_segmentation_file(tmp_path):
    legend = [
        {**label, "name": f"{number}", "value": number + 1}
        for number, label in enumerate(label for path in released_models() for label in labels_of(path))
    ]
    for entry in legend:
        parts = entry["terminology"].split("~")
        assert len(parts) == 7
        assert all(parts[index].count("^") == 2 for index in (1, 2, 3, 5, 6))
        assert all(parts[index].split("^")[0] == "SCT" for index in (1, 2))
    node = add_segmentation(samples.volume(), samples.labels(), legend, "Result")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "result.seg.nrrd"))
    assert storage.WriteData(node)
    read = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage.ReadData(read)
    for entry in legend:
        assert read.GetSegmentation().GetSegment(entry["name"]).GetTerminology() == entry["terminology"]


def test_everything_survives_saving_and_loading_the_scene(session, tmp_path):
    volume = samples.volume("oblique")
    segmentation = add_segmentation(volume, samples.labels(), samples.LEGEND, "Result")
    overlay = heatmap.add_heatmap(volume, np.full((9, 12, 15), 0.5, np.float32), "Uncertainty")
    heatmap.set_threshold(overlay, 0.25)
    attributes.write_verdict(segmentation, OOD)
    attributes.write_provenance(segmentation, REPORT, "0.1.0")
    shown = shown_rgba(overlay)
    bundle = str(tmp_path / "scène.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    session.scene.Clear(0)
    assert session.scene.ReadFromMRB(bundle)

    segmentation = session.scene.GetFirstNode("Result", "vtkMRMLSegmentationNode")
    assert attributes.read_verdict(segmentation) == OOD
    assert segmentation.GetAttribute("MultiTaskSeg.Model.SHA256") == "ab" * 32
    assert segmentation.GetAttribute("MultiTaskSeg.Version") == "0.1.0"
    assert "größer" in json.loads(segmentation.GetAttribute("MultiTaskSeg.Warnings"))[0]
    segment = segmentation.GetSegmentation().GetSegment("posterior")
    assert segment.GetName() == "posterior hippocampus"
    assert segment.GetTerminology() == samples.LEGEND[1]["terminology"]
    overlay = session.scene.GetFirstNode("Uncertainty", "vtkMRMLScalarVolumeNode")
    np.testing.assert_array_equal(shown_rgba(overlay), shown)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(
        segmentation, "posterior", session.scene.GetFirstNode("Scan", "vtkMRMLScalarVolumeNode")
    )
    np.testing.assert_array_equal(mask, samples.labels() == 2)
