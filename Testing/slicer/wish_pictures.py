"""Pictures of a region, a thorough check and a comparison: ``python -m Testing.slicer.wish_pictures -o DIR``.

On stand-in widgets, with the phantom that comes with the extension and the real worker: ``region.png`` (the panel after
a run on a region), ``thorough.png`` (after one with a thorough check) and ``comparison.png`` (the result of the region
beside one of the whole image).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import slicer

from Testing.slicer.model_pictures import save
from Testing.slicer.mrml_session import MrmlSession
from Testing.slicer.oodcheck_pictures import WIDTH
from Testing.slicer.pictures import add_volume
from Testing.slicer.screenshots import MODEL, SAMPLES
from Testing.slicer.stand_ins.installation import install
from Testing.slicer.stand_ins.panel import Panels, run_event_loop_until

PATIENCE_S = 600


def run(panel: object) -> object:
    """Press the button and wait for the result."""
    panel.ui.segmentButton.click()
    run_event_loop_until(lambda: panel.ui.segmentButton.text == "Segment", PATIENCE_S)
    return panel.parameters.segmentation


def region_of_half(volume: object) -> object:
    """An ROI around the middle of a volume, half as long along each axis."""
    bounds = np.zeros(6)
    volume.GetRASBounds(bounds)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region")
    node.SetCenter(*bounds.reshape(3, 2).mean(axis=1))
    node.SetSize(*((bounds[1::2] - bounds[::2]) / 2))
    return node


def picture(panel: object, width: int, path: Path) -> None:
    """The panel at a width, as high as it then wants to be."""
    for _ in range(2):  # the first lays out what was never shown, by which texts and tables learn their width
        panel.parent.resize(width, panel.parent.layout().heightForWidth(width))
        slicer.app.processEvents()
        save(panel.parent, path)


def draw(output: Path, panels: Panels) -> None:
    """All pictures."""
    from MultiTaskSegLib.runtime.image.image_file import read_image

    volume = add_volume(read_image(SAMPLES / "PhantomHead.nrrd"), "PhantomHead")
    panel = panels.open("MultiTaskSeg")
    panel.ui.modelPathLineEdit.currentPath = str(MODEL)
    panel.parameters.task = panel.ui.taskComboBox.itemData(1)
    panel.parameters.existing = "keep"
    for name in ("displayCollapsibleButton", "batchCollapsibleButton", "advancedCollapsibleButton"):
        getattr(panel.ui, name).collapsed = True
    whole = run(panel)
    panel.parameters.region = region_of_half(volume)
    part = run(panel)
    picture(panel, WIDTH, output / "region.png")
    panel.parameters.region = None
    panel.ui.thoroughCheckBox.checked = True
    run(panel)
    picture(panel, WIDTH, output / "thorough.png")
    panel.parameters.segmentation = part
    panel.ui.comparisonCollapsibleButton.collapsed = False
    panel.ui.referenceSelector.setCurrentNode(whole)
    panel.ui.compareButton.click()
    panel.ui.differenceButton.click()
    picture(panel, WIDTH + 260, output / "comparison.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pictures; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    panels = Panels(install(), MrmlSession())
    draw(options.output, panels)
    panels.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
