"""A picture of several images with their results: ``python -m Testing.slicer.batch_pictures -o DIR``.

On stand-in widgets, with the phantoms of the extension and the real worker: ``batch.png`` (the panel after a
batch over a folder), and beside it the folder ``batch`` with the results and the page of them. Mean intensities are
measured by the stand-in for Segment Statistics.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from Testing.slicer.model_pictures import save
from Testing.slicer.mrml_session import MrmlSession
from Testing.slicer.oodcheck_pictures import WIDTH
from Testing.slicer.screenshots import MODEL, SAMPLES
from Testing.slicer.stand_ins import segment_statistics
from Testing.slicer.stand_ins.installation import install
from Testing.slicer.stand_ins.panel import Panels, run_event_loop_until

PATIENCE_S = 600
HEIGHT = 760


def draw(output: Path, images: Path, panels: Panels) -> None:
    """The picture."""
    for phantom in SAMPLES.glob("*.nrrd"):
        shutil.copyfile(phantom, images / phantom.name)
    (images / "PhantomTorn.nrrd").write_bytes((SAMPLES / "PhantomHead.nrrd").read_bytes()[:5000])
    panel = panels.open("MultiTaskSeg")
    panel.ui.modelPathLineEdit.currentPath = str(MODEL)
    for name in ("displayCollapsibleButton", "advancedCollapsibleButton", "resultCollapsibleButton"):
        getattr(panel.ui, name).collapsed = True
    panel.ui.batchCollapsibleButton.collapsed = False
    panel.parameters.batchScope = "folder"
    panel.parameters.batchFolder, panel.parameters.batchOutput = str(images), str(output / "batch")
    panel.parameters.batchFigures = json.dumps(["Mean intensity"])
    panel.ui.batchButton.click()
    run_event_loop_until(lambda: panel.ui.batchButton.text == "Segment all", PATIENCE_S)
    panel.parent.resize(WIDTH + 120, HEIGHT)
    save(panel.parent, output / "batch.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the picture; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    panels = Panels(install(), MrmlSession())
    sys.modules["SegmentStatistics"] = segment_statistics
    with tempfile.TemporaryDirectory() as images:
        draw(options.output, Path(images), panels)
    panels.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
