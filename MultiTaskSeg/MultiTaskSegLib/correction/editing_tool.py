"""The modules in which a segment can be corrected, and how each is told what to correct.

Names were compared with the sources: ``SegmentEditor`` is Slicer's own (``SegmentEditorWidget.editor``, a
``qMRMLSegmentEditorWidget``); ``SlicerNNInteractive`` has one in ``ui.editor_widget``; ``MONAILabel`` one in
``ui.embeddedSegmentEditorWidget``, and takes its image from ``ui.inputSelector``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer

from MultiTaskSegLib.registration.module_presence import has_module
from MultiTaskSegLib.runtime.errors import ResourceError, UsageError

PAINT, ERASE = "Paint", "Erase"
SEGMENT_EDITOR = "SegmentEditor"


@dataclass(frozen=True)
class EditingTool:
    """A module with a segment editor in its panel.

    Attributes:
        module: name of the module.
        title: for people.
        editor: how its editor is reached from the panel's Python object, such as ``ui.editor_widget``.
        image_selector: where the image is chosen besides, or empty.
        starts_effect: whether an effect is chosen; where the module has prompts of its own, they are used.
    """

    module: str
    title: str
    editor: str
    image_selector: str = ""
    starts_effect: bool = False


TOOLS = (
    EditingTool(SEGMENT_EDITOR, "Segment Editor", "editor", starts_effect=True),
    EditingTool("SlicerNNInteractive", "nnInteractive", "ui.editor_widget"),
    EditingTool("MONAILabel", "MONAI Label", "ui.embeddedSegmentEditorWidget", "ui.inputSelector", starts_effect=True),
)


def present_tools() -> list[EditingTool]:
    """Those whose module Slicer has loaded, Slicer's own editor first."""
    return [tool for tool in TOOLS if has_module(tool.module)]


def tool_named(module: str) -> EditingTool:
    """The tool with this module.

    Raises:
        UsageError: there is none, or Slicer does not have it.
    """
    for tool in present_tools():
        if tool.module == module:
            return tool
    known = ", ".join(tool.module for tool in present_tools()) or "none"
    raise UsageError(f"there is no module {module!r} to correct segments in", remedy=f"Installed are: {known}")


def open_tool(
    tool: EditingTool,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    segment_id: str,
    effect: str,
) -> None:
    """Turn Slicer to the module, with this segment of this image selected in its editor, ready to be worked on.

    Raises:
        ResourceError: the module is not as it is expected to be, as one of another version may be.
    """
    slicer.util.selectModule(tool.module)
    try:
        panel = getattr(slicer.modules, tool.module.lower()).widgetRepresentation().self()
        if tool.image_selector:
            _part(panel, tool.image_selector).setCurrentNode(volume_node)
        editor = _part(panel, tool.editor)
        editor.setSegmentationNode(segmentation_node)
        editor.setSourceVolumeNode(volume_node)
        editor.setCurrentSegmentID(segment_id)
        if tool.starts_effect:
            editor.setActiveEffectByName(effect)
    except AttributeError as error:
        raise ResourceError(
            f"{tool.title} cannot be told what to correct ({error})",
            remedy="Select segmentation, image and segment there by hand, or use the Segment Editor",
        ) from error


def _part(panel: Any, path: str) -> Any:
    for name in path.split("."):
        panel = getattr(panel, name)
    return panel
