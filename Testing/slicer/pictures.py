"""Pictures of the extension: ``python -m Testing.slicer.pictures -o DIR [--image PATH] [--model PATH] [--task NAME]``.

Segments an image with the real worker, puts the result into a real MRML scene and draws it with Slicer's displayable
managers: ``views.png`` (three slice views and a 3-D view), ``slice.png`` (one slice view), and the panels of both
modules on stand-in widgets in a light and a dark style: ``panel_multitaskseg_light.png`` and so on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkIOImage import vtkPNGWriter

from MultiTaskSegLib.job import shared_runner
from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.scene.heatmap import DEFAULT_OPACITY
from MultiTaskSegLib.scene.result import SegmentationResult, add_result
from MultiTaskSegLib.scene.slice_layers import show_heatmap
from MultiTaskSegLib.scene.surface.surfaces import show_3d
from MultiTaskSegLib.scene.volume import image_from_node, world_ijk_to_ras
from Testing.slicer.mrml_session import MrmlSession
from Testing.slicer.views import LOWER_LEFT, SliceView, ThreeDView, can_render

ORIENTATIONS = (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal"))
GREEN, RED, WHITE = (0.45, 1.0, 0.55), (1.0, 0.35, 0.3), (0.9, 0.9, 0.9)
GAP_PIXELS = 4
PANEL_WIDTH = 400  # about that of Slicer's own panel
MARGIN = 1.6  # how much of the surroundings of the structures is shown


def add_volume(image: Volume, name: str) -> object:
    """An image as a scalar volume node with a sensible window."""
    node = slicer.util.addVolumeFromArray(image.voxels, ijkToRAS=image.ijk_to_ras, name=name)
    low, high = np.percentile(image.voxels, [0.5, 99.5])
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevelMinMax(float(low), float(high))
    return node


def centre_and_zoom(volume_node: object, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """RAS centre of the structures, and the enlargement that fills a view with them."""
    ijk = np.argwhere(labels > 0)[:, ::-1] if (labels > 0).any() else np.argwhere(labels >= 0)[:, ::-1]
    corners = np.percentile(ijk, [2, 98], axis=0)
    centre = (world_ijk_to_ras(volume_node) @ [*np.round(np.median(ijk, axis=0)), 1.0])[:3]
    spacing = np.array(volume_node.GetSpacing())
    extent = np.array(labels.shape[::-1]) * spacing
    structure = (corners[1] - corners[0] + 1) * spacing
    return centre, float(np.clip(np.min(extent) / (np.max(structure) * MARGIN), 1.0, 6.0))


class Views:
    """The views of Slicer's default layout. Made before the result, as in Slicer: they take in what is added later."""

    def __init__(self, session: MrmlSession) -> None:
        self._slices = [SliceView(session, name, orientation) for name, orientation in ORIENTATIONS]
        self._three_d = ThreeDView(session)

    def draw(self, node: object, labels: np.ndarray, result: SegmentationResult) -> list[np.ndarray]:
        """Axial, 3-D, coronal and sagittal view as RGB arrays, the verdict in the corner of each slice view."""
        centre, zoom = centre_and_zoom(node, labels)
        show_heatmap(node, result.uncertainty, DEFAULT_OPACITY)
        flag, colour = ("OUT OF DISTRIBUTION", RED) if result.ood.is_ood else ("In distribution", GREEN)
        for view, (_, orientation) in zip(self._slices, ORIENTATIONS, strict=True):
            view.node.RotateToVolumePlane(node)  # else voxels of an oblique volume are cut slantwise
            view.fit(centre, zoom)
            view.annotate(flag, colour)
            view.annotate(orientation, WHITE, LOWER_LEFT)
        axial, coronal, sagittal = (view.image() for view in self._slices)
        if labels.shape[0] > 1 and (labels > 0).any():
            show_3d(result.segmentation)
        self._three_d.fit(zoom=0.9)  # to the surfaces, before the slice takes more room than they do
        self._slices[0].node.SetSliceVisible(True)
        return [axial, self._three_d.image(), coronal, sagittal]


def four_up(images: Sequence[np.ndarray]) -> np.ndarray:
    """Four pictures of one size in two rows."""
    rows, columns, _ = images[0].shape
    sheet = np.full((2 * rows + GAP_PIXELS, 2 * columns + GAP_PIXELS, 3), 60, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // 2) * (rows + GAP_PIXELS), (index % 2) * (columns + GAP_PIXELS)
        sheet[top : top + rows, left : left + columns] = image
    return sheet


def write_png(path: Path, image: np.ndarray) -> None:
    """Write uint8 ``(rows, columns, 3)``."""
    rows, columns, _ = image.shape
    data = vtkImageData()
    data.SetDimensions(columns, rows, 1)
    data.GetPointData().SetScalars(numpy_to_vtk(image[::-1].reshape(-1, 3), deep=True))
    writer = vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(data)
    writer.Write()


def draw_panels(session: MrmlSession, folder: Path, model: Path | None) -> None:
    """Write what both panels look like for the volume of the scene, in a light and in a dark style.

    MultiTaskSeg shows the result that is there; OOD Check makes its own.
    """
    from Testing.slicer.stand_ins.installation import install, use_style
    from Testing.slicer.stand_ins.panel import Panels, run_event_loop_until

    panels = Panels(install(), session)
    for name, button in (("MultiTaskSeg", None), ("OODCheck", "checkButton")):
        widget = panels.open(name)
        widget.ui.modelPathLineEdit.currentPath = "" if model is None else str(model)
        widget.parent.show()
        if button is not None:
            getattr(widget.ui, button).click()
            run_event_loop_until(lambda widget=widget, button=button: getattr(widget.ui, button).text != "Cancel", 600)
        for style in ("light", "dark"):
            use_style(style)
            widget.parent.resize(PANEL_WIDTH, widget.parent.layout().heightForWidth(PANEL_WIDTH))
            run_event_loop_until(lambda: False, 0.5)  # the layout settles
            widget.parent.grab().save(str(folder / f"panel_{name.lower()}_{style}.png"))
    panels.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pictures; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--task", default="auto")
    parser.add_argument("--no-panels", action="store_true")
    options = parser.parse_args(arguments)
    if not can_render():
        print(
            "off-screen OpenGL does not work here: install libosmesa6 or libegl1 with libgl1-mesa-dri", file=sys.stderr
        )
        return 1
    try:
        make_pictures(options)
    except MtsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    finally:
        shared_runner().close()
    return 0


def make_pictures(options: argparse.Namespace) -> None:
    """Segment, draw and write.

    Raises:
        MtsError: the image or the model cannot be used.
    """
    image = read_image(options.image)
    session = MrmlSession()
    views = Views(session)
    node = add_volume(image, options.image.name.split(".")[0])
    found = shared_runner().segment(image_from_node(node), task=options.task, model=options.model).wait()
    result = add_result(node, found)
    images = views.draw(node, found.labels, result)
    options.output.mkdir(parents=True, exist_ok=True)
    write_png(options.output / "slice.png", images[0])
    write_png(options.output / "views.png", four_up(images))
    if not options.no_panels:
        draw_panels(session, options.output, options.model)


if __name__ == "__main__":
    sys.exit(main())
